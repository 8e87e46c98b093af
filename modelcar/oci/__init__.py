"""OCI images and registries: a few nouns (reference, credentials, registry, layer, image) and the verbs on them.

An image is a *manifest* (JSON) that names a *config* (JSON) and *layers* (tar files) by digest; an *index* names one
manifest for each platform. A registry keeps layers and configs as *blobs* and manifests under *tags* and digests.
"""
