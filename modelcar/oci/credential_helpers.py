"""Programs that keep registry credentials, or fetch them from a cloud: `docker-credential-<name>`.

They are run only if a configuration names them. The protocol is that of
https://github.com/docker/docker-credential-helpers: `get`, the registry on standard input, a JSON document on standard
output. Amazon's, Google's and Azure's helpers give what the platform's own identity is good for (IRSA, workload
identity, managed identity), without any Secret.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from modelcar.errors import CredentialsError, on_one_line

ANSWER_SECONDS = 60.0
"""Time that a helper may take. Those of clouds ask over the network; one that opens a window would wait for ever."""

KEPT_SECONDS = 60.0
"""Time that an answer is kept: a password is needed with each request, and what helpers give lasts minutes at least."""

MAX_ANSWER_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NOT_FOUND = re.compile(r"not found|no credentials|no basic auth|does not exist", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A helper's answer for a registry.

    Attributes:
        username: The user; `<token>` where the secret is an identity token.
        secret: The password or token.
    """

    username: str
    secret: str = field(repr=False)


_kept: dict[tuple[str, str], tuple[float, Answer | None]] = {}
_lock = threading.Lock()


def ask(name: str, server: str, source: str) -> Answer | None:
    """Asks a helper for the credentials of a registry; None if it has none.

    Args:
        name: What the configuration calls it: `ecr-login` for the program `docker-credential-ecr-login`.
        server: The registry, as the helper knows it.
        source: The configuration that names it, for errors.

    Raises:
        CredentialsError: It is not installed, fails, or does not answer in time.
    """
    with _lock:
        until, answer = _kept.get((name, server), (0.0, None))
        if until <= time.monotonic():
            answer = _run(name, server, source)
            _kept[name, server] = (time.monotonic() + KEPT_SECONDS, answer)
        return answer


def is_installed(name: str) -> bool:
    """Tells whether a helper is on this machine."""
    return _NAME.fullmatch(name) is not None and shutil.which(f"docker-credential-{name}") is not None


def forget() -> None:
    """Drops what was kept: a registry refused it, and the helper may have another by now."""
    with _lock:
        _kept.clear()


def _run(name: str, server: str, source: str) -> Answer | None:
    if not _NAME.fullmatch(name):
        raise CredentialsError(f"{source} names a credential helper {name!r}, which is no name of a program")
    program = shutil.which(f"docker-credential-{name}")
    if program is None:
        raise CredentialsError(
            f"{source} keeps the login to {server} in docker-credential-{name}, which is not installed here",
            f"Install it, or log in with a file: podman login --authfile auth.json {server}",
        )
    try:
        status, output, errors = _outcome([program, "get"], server)
    except subprocess.TimeoutExpired:
        raise CredentialsError(
            f"docker-credential-{name}, which {source} names, did not answer within {ANSWER_SECONDS:.0f} s",
            f"Try it: echo {server} | docker-credential-{name} get",
        ) from None
    except OSError as error:
        raise CredentialsError(f"docker-credential-{name}, which {source} names, cannot be run: {error}") from None
    if not status:
        return _read(output, name, source)
    # Helpers say what went wrong on standard output.
    said = on_one_line(f"{output} {errors}"[:300])
    if _NOT_FOUND.search(said):
        return None
    raise CredentialsError(
        f"docker-credential-{name}, which {source} names, has no login to {server}: {said}",
        f"Try it: echo {server} | docker-credential-{name} get",
    )


def _outcome(command: list[str], server: str) -> tuple[int, str, str]:
    # A session of its own: what a helper has started ends with it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(server.encode(), ANSWER_SECONDS)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def _read(output: str, name: str, source: str) -> Answer | None:
    try:
        if len(output) > MAX_ANSWER_BYTES:
            raise ValueError
        # Go, in which most are written and read, takes a field's name in any case.
        answer = {name.lower(): value for name, value in _document(output).items()}
        username, secret = answer.get("username") or "", answer.get("secret") or ""
        if not isinstance(username, str) or not isinstance(secret, str):
            raise ValueError
    except (ValueError, RecursionError):
        raise CredentialsError(
            f"docker-credential-{name}, which {source} names, answered with what is no login"
        ) from None
    return Answer(username, secret) if secret else None


def _document(output: str) -> dict[str, Any]:
    """Returns the answer, before or after which a helper may print what it warns of."""
    for begin in re.finditer(r"^\s*(?={)", output, re.MULTILINE):
        with suppress(json.JSONDecodeError):
            return dict(json.JSONDecoder().raw_decode(output, begin.end())[0])
    raise ValueError
