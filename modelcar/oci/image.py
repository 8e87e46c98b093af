"""An image whose manifests are at hand."""

from dataclasses import dataclass

from modelcar.oci.registry import Stored


@dataclass(frozen=True)
class Image:
    """An image whose manifests are at hand, so that none has to be read back.

    OpenShift's registry shows a manifest only once a tag leads to it.

    Attributes:
        top: Its index, or its manifest where it is for one platform alone.
        platforms: The manifests that the index names; empty without an index.
    """

    top: Stored
    platforms: tuple[Stored, ...] = ()
