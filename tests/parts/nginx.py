"""nginx before a registry, as Harbor, OpenShift's routes and many a company have it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.parts.certificates import CertificateAuthority
from tests.parts.process import listening
from tests.parts.registries import Registry

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  {zones}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} {tls};
    {certificate}
    {settings}
    location / {{
      proxy_pass http://{upstream};
      proxy_set_header Host $http_host;
      {location}
    }}
  }}
}}
"""

HARBOR = "client_max_body_size 0; chunked_transfer_encoding on;"
"""What Harbor's nginx has: https://github.com/goharbor/harbor, make/photon/prepare/templates/nginx."""

HARBOR_LOCATION = "proxy_buffering off; proxy_request_buffering off; proxy_send_timeout 900; proxy_read_timeout 900;"

OPENSHIFT_LOCATION = "proxy_buffering off; proxy_request_buffering off; proxy_send_timeout 30; proxy_read_timeout 30;"
"""What a route of OpenShift does to a registry behind it (HAProxy, `timeout server 30s`), said to nginx."""

INGRESS = "client_max_body_size 1m;"
INGRESS_LOCATION = "proxy_connect_timeout 5; proxy_send_timeout 60; proxy_read_timeout 60;"
"""What ingress-nginx has where nobody annotates an Ingress: https://kubernetes.github.io/ingress-nginx."""


@contextmanager
def nginx_before(
    registry: Registry,
    folder: Path,
    *,
    tls: bool = True,
    clients: bool = False,
    settings: str = "client_max_body_size 0;",
    location: str = "",
    zones: str = "",
    port: int,
) -> Iterator[Registry]:
    """Runs nginx before a registry until the context is left.

    It ends TLS and does not say so to the registry (no X-Forwarded-Proto), unless `location` does.

    Args:
        registry: The registry, on plain HTTP.
        folder: Takes the configuration, the certificates and the logs.
        tls: Whether clients speak TLS to it.
        clients: Whether it asks them for a certificate.
        settings: More lines of the server.
        location: More lines of what is forwarded.
        zones: More lines of all servers: what limits count in.
        port: Where to listen.

    Yields:
        The registry, as its clients see it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = CertificateAuthority(folder)
    server = authority.issue("localhost")
    certificate = f"ssl_certificate {server.cert_file}; ssl_certificate_key {server.key_file};" if tls else ""
    if clients:
        client = authority.issue("client")
        certificate += f" ssl_client_certificate {authority.cert_file}; ssl_verify_client on;"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            # Its workers would be nobody, who may not write into a test's folder.
            user="user root;" if os.geteuid() == 0 else "",
            port=port,
            tls="ssl" if tls else "",
            certificate=certificate,
            settings=settings,
            zones=zones,
            upstream=registry.host,
            location=location,
        )
    )
    scheme = "https" if tls else "http"
    pair = (str(client.cert_file), str(client.key_file)) if clients else None

    def answers(at: int) -> bool:
        verify = str(authority.cert_file) if tls else None
        return requests.get(f"{scheme}://localhost:{at}/v2/", verify=verify, cert=pair, timeout=600).status_code < 500

    command = ["nginx", "-c", str(configuration), "-p", str(folder)]
    env = {"PATH": f"{os.defpath}:/usr/sbin:/sbin"}
    with listening(command, answers=answers, log=folder / "nginx.log", env=env) as listener:
        yield Registry(
            f"localhost:{listener.port}",
            scheme,
            listener.pid,
            registry.storage,
            registry.log,
            registry.access_log,
            ca_file=authority.cert_file if tls else None,
        )


@contextmanager
def free_port() -> Iterator[int]:
    """Gives a port: nginx cannot be told to take any, and the kernel gives this one to nobody else for a while."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    yield port
