"""The first step: plans a run and refuses one that cannot succeed."""
