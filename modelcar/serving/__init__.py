"""Serving of an image by KServe, plain or as part of OpenShift AI: what to create, and where it differs by version."""
