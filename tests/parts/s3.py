"""An S3 server: versitygw, a gateway that serves a folder as S3 does, over a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.kubernetes.kfp.programs import object_store_program
from tests.parts.process import listening

ACCESS_KEY, SECRET_KEY, REGION = "reader", "of-these-tests", "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        url: Its address.
        buckets: The folder that has the buckets as folders, and the objects as files.
    """

    url: str
    buckets: Path

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which it is read."""
        login = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        return {**login, "AWS_S3_ENDPOINT": self.url, "AWS_DEFAULT_REGION": REGION}


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Runs a server until the context is left.

    Args:
        folder: An empty folder for its files.
    """
    buckets, described = folder / "buckets", folder / "described"
    for one in (buckets, described):
        one.mkdir()
    login = [f"--access={ACCESS_KEY}", f"--secret={SECRET_KEY}", f"--region={REGION}"]
    program = str(object_store_program())

    command = [program, *login, "--port=127.0.0.1:0", "posix", f"--sidecar={described}", str(buckets)]
    with listening(command, answers=_answers, log=folder / "log") as listener:
        yield S3Server(f"http://127.0.0.1:{listener.port}", buckets)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=9).status_code < 500
    except requests.RequestException:
        return False
