"""Images of models: their layers, manifests and tags."""
