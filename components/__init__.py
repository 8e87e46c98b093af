"""The face that each step shows to Kubeflow Pipelines: a typed, documented function over plain code in modelcar/."""
