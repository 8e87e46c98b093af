"""A server of language models for the cluster's pods: mistral.rs, from its Python package."""
