"""The last step: says how a run ended, and what helps."""
