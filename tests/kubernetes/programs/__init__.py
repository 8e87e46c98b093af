"""The programs of the test cluster."""
