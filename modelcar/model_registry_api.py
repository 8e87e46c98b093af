"""The client of the Model Registry's REST API, in whichever version of it a server speaks."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from model_registry.core import ModelRegistryAPIClient
from mr_openapi import ApiClient, ModelRegistryServiceApi
from mr_openapi.exceptions import ApiException, NotFoundException

VERSIONS = ("v1", "v1alpha3")
"""Versions, the newest first. Servers have v1 from August 2026 on and answer 410 for v1alpha3 nine months later; v1 is
the same without experiments (kubeflow/model-registry, proposals/KEP-0004-api-v1-graduation)."""

_NOT_SERVED = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)

_ROOT = "/api/model_registry"
_PREFIX = re.compile(rf"^{_ROOT}/v1[a-z0-9]*/")


@dataclass
class ModelRegistryApi(ModelRegistryAPIClient):  # type: ignore[misc]
    """The Model Registry's API.

    The client's own paths name one version: v1alpha3 up to 0.3.14, v1 from there on. This asks for the server's.

    Attributes:
        version: The API's version.
    """

    version: str = VERSIONS[0]

    @asynccontextmanager
    async def get_client(self) -> AsyncIterator[ModelRegistryServiceApi]:
        """Gives the generated client, for one request or a few."""
        client = _VersionedClient(self.config, self.version)
        try:
            yield ModelRegistryServiceApi(client)
        finally:
            await client.close()

    async def choose_version(self) -> None:
        """Finds out which version the server speaks.

        Raises:
            NotFoundException: None that we know.
        """
        for version in VERSIONS:
            self.version = version
            async with self.get_client() as client:
                try:
                    await client.get_registered_models(page_size="1")
                except ApiException as error:
                    if error.status not in _NOT_SERVED:
                        raise
                else:
                    return
        raise NotFoundException(HTTPStatus.NOT_FOUND)


class _VersionedClient(ApiClient):  # type: ignore[misc]
    def __init__(self, configuration: Any, version: str) -> None:
        super().__init__(configuration)
        self._prefix = f"{_ROOT}/{version}/"

    def param_serialize(self, method: str, resource_path: str, *given: Any, **named: Any) -> Any:
        """Writes a request, to the version's path."""
        return super().param_serialize(method, _PREFIX.sub(self._prefix, resource_path), *given, **named)
