"""Records that a step leaves for the report."""
