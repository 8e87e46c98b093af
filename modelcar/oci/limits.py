"""Limits that registries are known to have, as they state them themselves. No registry tells them when it is asked.

Each has its source; one that cannot be found in public is not here.
"""

import re
from dataclasses import dataclass

GB = 10**9


@dataclass(frozen=True)
class Limits:
    """Limits of a registry.

    Attributes:
        name: What people call it.
        layer_bytes: The largest layer; 0 for no limit that is known.
        upload_seconds: The longest that an upload may take; 0 for no limit that is known.
        resumes: Whether an upload that broke can go on.
        source: Where it says so.
    """

    name: str = ""
    layer_bytes: int = 0
    upload_seconds: int = 0
    resumes: bool = True
    source: str = ""


_ECR = r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.(aws|amazonwebservices\.com\.cn))"
_GITHUB = "https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-container-registry"
_ECR_QUOTAS = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html"
_ECR_PUBLIC_QUOTAS = "https://docs.aws.amazon.com/AmazonECR/latest/public/public-service-quotas.html"
_AZURE = "https://learn.microsoft.com/azure/container-registry/container-registry-skus"
_GOOGLE = "https://cloud.google.com/artifact-registry/quotas"
_GITLAB = "https://gitlab.com/gitlab-org/container-registry/-/issues/1062"
_DOCKER = "https://docs.docker.com/docker-hub/usage/"

KNOWN: tuple[tuple[str, Limits], ...] = (
    (r"quay\.io", Limits("Quay", 20 * GB, source="https://github.com/quay/quay: MAXIMUM_LAYER_SIZE in config.py")),
    (r"ghcr\.io", Limits("GitHub", 10 * GB, 600, source=_GITHUB)),
    # 4,200 parts of at most 20 MiB; what counts is the size.
    (_ECR, Limits("Amazon ECR", 52_000 << 20, resumes=False, source=_ECR_QUOTAS)),
    (r"public\.ecr\.aws", Limits("Amazon ECR Public", 10_000 << 20, resumes=False, source=_ECR_PUBLIC_QUOTAS)),
    (r"[a-z0-9-]+(\.[a-z0-9-]+)*\.azurecr\.(io|cn|us)", Limits("Azure", 200 << 30, source=_AZURE)),
    (
        r"[a-z0-9-]+-docker\.pkg\.dev|([a-z0-9-]+\.)?gcr\.io",
        Limits("Artifact Registry", 9_900 * 10**6, resumes=False, source=_GOOGLE),
    ),
    (r"registry\.gitlab\.com", Limits("GitLab", 10 * GB, source=_GITLAB)),
    # It names no largest layer, but how often one may pull.
    (r"docker\.io", Limits("Docker Hub", source=_DOCKER)),
)


def known_limits(registry: str) -> Limits:
    """Returns the limits of a registry by its host, without a usual port; none for a registry that is not known."""
    host = registry.lower().removesuffix(":443")
    return next((limits for pattern, limits in KNOWN if re.fullmatch(pattern, host)), Limits())
