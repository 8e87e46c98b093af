"""The pipeline's steps as plain Python: models from a Hub into OCI images, registries and the Model Registry.

Nothing here imports kfp, so that every function can be called, tested and embedded into a component by itself.
"""

__version__ = "0.1.0"
