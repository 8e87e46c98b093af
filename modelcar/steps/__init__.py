"""The steps of the pipelines, as plain functions; none uses another."""
