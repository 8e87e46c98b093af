"""The Kubernetes cluster that a step runs in, where it runs in one.

Nothing here knows Kubeflow Pipelines but for the names that its backend gives to pods.
"""
