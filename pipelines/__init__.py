"""The pipelines: how the steps are wired."""
