"""Sources of models: the Hub, and what is on no Hub, in folders, claims, buckets and registries, behind one face."""
