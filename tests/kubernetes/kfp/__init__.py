"""A real Kubeflow Pipelines backend on the test cluster."""
