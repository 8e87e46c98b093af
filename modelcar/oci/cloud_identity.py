"""The account that a cloud gives a pod, by which its registry knows us without any Secret.

Each cloud has a helper (`docker-credential-…`) that turns the account into a login. It is run where the cloud has set
up the account for this process: the variables below are what IRSA, EKS Pod Identity, ECS and Azure's workload identity
set. The helper must be installed. For Google Cloud, google-auth does the same (modelcar.google_cloud).
"""

import os
import re
import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Source of an account's login.

    Attributes:
        helper: The helper's name.
        source: What says that there is such an account, for errors.
    """

    helper: str
    source: str


@dataclass(frozen=True)
class _Cloud:
    registry: re.Pattern[str]
    helper: str
    variables: tuple[str, ...]


_CLOUDS = (
    # https://github.com/awslabs/amazon-ecr-credential-helper
    _Cloud(
        re.compile(
            r"(\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.(aws|amazonwebservices\.com\.cn))|public\.ecr\.aws)"
        ),
        "ecr-login",
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
        ),
    ),
    # https://github.com/chrismellard/docker-credential-acr-env
    _Cloud(
        re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.azurecr\.(io|cn|us)"),
        "acr-env",
        ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"),
    ),
)


def find(registry: str) -> Identity | None:
    """Finds the helper that turns this process's account into a login to a registry, if there are both."""
    for cloud in _CLOUDS:
        if cloud.registry.fullmatch(registry):
            variable = next((name for name in cloud.variables if os.environ.get(name)), "")
            if variable and shutil.which(f"docker-credential-{cloud.helper}"):
                return Identity(cloud.helper, f"${variable}")
    return None


def missing_helper(registry: str) -> str:
    """Returns the program that would let the cloud's own account log in to a registry; empty if none would."""
    helper = next((cloud.helper for cloud in _CLOUDS if cloud.registry.fullmatch(registry)), "")
    return f"docker-credential-{helper}" if helper and not shutil.which(f"docker-credential-{helper}") else ""
