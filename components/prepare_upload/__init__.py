"""The step between the image and Vertex AI's Model Registry."""

from modelcar.components.prepare_upload.component import prepare_upload

__all__ = ["prepare_upload"]
