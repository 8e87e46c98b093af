"""A real Kubernetes on this machine, for the tests that need one; README.md tells how it is made."""
