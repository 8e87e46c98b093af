"""The `modelcar` command."""
