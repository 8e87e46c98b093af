"""The serve step: an InferenceService from its YAML to the first answer."""
