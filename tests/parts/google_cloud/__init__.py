"""What of Google Cloud a run meets on Vertex AI, on loopback and under its own names: programs and clients are real.

Nothing of Google Cloud can run here. Its registry is Debian's docker-registry with Artifact Registry's kind of login;
what is told to its APIs is read by the types of Google's own client.
"""

from tests.parts.google_cloud.artifact_registry import ArtifactRegistry, artifact_registry
from tests.parts.google_cloud.metadata import MetadataServer
from tests.parts.google_cloud.names import NameProxy
from tests.parts.google_cloud.vertex import Api, ModelRegistry

__all__ = ["Api", "ArtifactRegistry", "MetadataServer", "ModelRegistry", "NameProxy", "artifact_registry"]
