"""The Hub: which commit a revision is, what is in it, and its files, fetched so that a broken download goes on.

Everything goes through `huggingface_hub`, over plain HTTP: a download of a large file is taken up where it ended, also
by a later run on another node, and memory stays small. Its Xet transport does neither.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3
from huggingface_hub import HfApi, ModelInfo, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from pydantic import ValidationError
from tqdm.std import tqdm

from modelcar import __version__
from modelcar.errors import HubError, HubUnwellError, first_line
from modelcar.hub.card import described_by_card
from modelcar.hub.peek import Peek
from modelcar.hub.snapshot import READ_BYTES, PublishedFile, Snapshot
from modelcar.progress import Count, silent
from modelcar.retries import getting_further, going_on, retrying

HUB = "https://huggingface.co"
"""What an image names as its source. A mirror (HF_ENDPOINT) serves the same commits, and must give the same images."""

CLIENT = "modelcar-pipelines"
# The client's own 10 MiB, of which it keeps several for each file in flight, took 340 MiB with many shards.
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20
DEFAULT_REVISION = "main"
_OF_THE_CLAIM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_TIMEOUT_SECONDS = (15, 120)
_ENDED_LINK = (400, 401, 403)
"""What storages answer to a signed link that has ended. The Hub gave it to somebody who may read the file."""

_ACCESS_REMEDY = (
    "Accept its conditions on its page, then give a read token: HF_TOKEN in the environment, `hf auth login`, "
    "or the Secret that the pipeline's hf_token_secret names"
)


@dataclass(frozen=True)
class OnHub:
    """A file of a model, read from the Hub as it is needed: nothing is kept on this machine.

    Attributes:
        url: Where it is, at a commit.
        model: The model's id, for error messages.
        session: The connections that files share.
    """

    url: str
    model: str
    session: requests.Session

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from an offset to the end, in chunks of at most 1 MiB. A connection that breaks is taken up.

        Raises:
            HubError: The Hub refused.
            HubUnwellError: The Hub went away, and several attempts brought no more bytes.
        """
        return going_on(self._read_once, offset)

    def _read_once(self, offset: int) -> Iterator[bytes]:
        headers = build_hf_headers(library_name=CLIENT, library_version=__version__)
        headers["Accept-Encoding"] = "identity"
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            # requests does not pass the token on when the Hub sends us to another host for the bytes.
            with self.session.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
                self._check(response, offset)
                yield from response.raw.stream(READ_BYTES, decode_content=False)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise HubUnwellError(f"the connection to the Hub broke while reading {self}: {first_line(error)}") from None

    def _check(self, response: requests.Response, offset: int) -> None:
        status = response.status_code
        if status == (requests.codes.partial_content if offset else requests.codes.ok):
            return
        if response.history and status in _ENDED_LINK:
            raise HubUnwellError(_ended_link(str(self), response.url, status), "Check the clock of this machine")
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            raise HubError(f"the Hub gives no access to {self} ({status})", _ACCESS_REMEDY)
        kind = HubUnwellError if status >= 500 or status in (408, 429) else HubError
        raise kind(f"the Hub answered {status} for {self}", "Try again later")

    def __str__(self) -> str:
        return f"{self.model}/{self.url.partition('/resolve/')[2].partition('/')[2]}"


class Hub:
    """A model Hub. The endpoint and the token come from the environment (HF_ENDPOINT, HF_TOKEN) as everywhere."""

    def __init__(self) -> None:
        # The client itself reads HF_ENDPOINT once, when it is imported.
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
        self._api = HfApi(endpoint=endpoint, library_name=CLIENT, library_version=__version__)

    @retrying
    def snapshot(self, model: str, revision: str = DEFAULT_REVISION) -> Snapshot:
        """Resolves a revision to its commit and lists all that is in it.

        Args:
            model: The model's id, `organisation/name`.
            revision: A branch, a tag or a commit.

        Raises:
            HubError: The model or revision does not exist, or may not be read; with the remedy.
        """
        with _named(self._api.endpoint, model, revision):
            info = self._api.model_info(model, revision=revision, files_metadata=True)
            commit = str(info.sha)
            made = self._api.list_repo_commits(model, revision=commit)[0].created_at
            return Snapshot(
                model=info.id,
                commit=commit,
                created=made,
                source=f"{HUB}/{info.id}",
                files=self._files(info, commit),
                **described_by_card(info),
            )

    def _files(self, info: ModelInfo, commit: str) -> tuple[PublishedFile, ...]:
        siblings = info.siblings or []
        if all(sibling.blob_id for sibling in siblings):
            return tuple(_published(sibling) for sibling in siblings)
        # Some mirrors of the Hub (olah) drop `blobs=true`, but pass on what is asked of paths.
        found = self._api.get_paths_info(info.id, [sibling.rfilename for sibling in siblings], revision=commit)
        return tuple(
            PublishedFile(
                path=file.path, size=file.size, sha256=file.lfs.sha256 if file.lfs else "", git_blob=file.blob_id
            )
            for file in found
            if isinstance(file, RepoFile)
        )

    def peek(self, snapshot: Snapshot) -> Peek:
        """Gives a reader of small parts of a commit's files."""
        return Peek(snapshot, self._api.endpoint)

    def branches(self, model: str) -> tuple[str, ...]:
        """Names a model's branches; none if the Hub does not list them."""
        with suppress(Exception):
            return tuple(ref.name for ref in self._api.list_repo_refs(model).branches)
        return ()

    def sources(self, snapshot: Snapshot) -> Callable[[PublishedFile], OnHub]:
        """Gives, for the files of a commit, where to read them from while they are sent on."""
        session = requests.Session()
        # ~/.netrc must not replace the Hub's token.
        session.auth = lambda request: request

        def source(file: PublishedFile) -> OnHub:
            url = hf_hub_url(snapshot.model, file.path, revision=snapshot.commit, endpoint=self._api.endpoint)
            return OnHub(url, snapshot.model, session)

        return source

    @retrying
    def check_access(self, snapshot: Snapshot, file: PublishedFile) -> None:
        """Sees whether a file may be read, from its header alone: of a gated model the Hub shows everyone the list.

        Raises:
            HubError: It may not be read, or the Hub went away.
        """
        with _named(self._api.endpoint, snapshot.model, snapshot.commit):
            url = hf_hub_url(snapshot.model, file.path, revision=snapshot.commit, endpoint=self._api.endpoint)
            get_hf_file_metadata(url, headers=build_hf_headers(library_name=CLIENT, library_version=__version__))

    def fetch(self, snapshot: Snapshot, file: PublishedFile, partial: Path, count: Count = silent) -> None:
        """Brings a file's bytes into a partial file, going on where an earlier attempt ended.

        Each attempt asks the Hub for a new link to the bytes, for links end, after an hour or so.

        Args:
            snapshot: The commit.
            file: The file in it.
            partial: Where the bytes go. It is complete when this returns, but not yet checked.
            count: Is told how many bytes arrived, those of earlier attempts first.

        Raises:
            HubError: The Hub refused or went away.
        """

        def size() -> int:
            return partial.stat().st_size if partial.exists() else 0

        getting_further(lambda: self._fetch_once(snapshot, file, partial, count), size)

    def _fetch_once(self, snapshot: Snapshot, file: PublishedFile, partial: Path, count: Count) -> None:
        with _named(self._api.endpoint, snapshot.model, snapshot.commit), _counted(count) as counting:
            url = hf_hub_url(snapshot.model, file.path, revision=snapshot.commit, endpoint=self._api.endpoint)
            headers = build_hf_headers(library_name=CLIENT, library_version=__version__)
            metadata = get_hf_file_metadata(url, headers=headers)
            if metadata.location != url:
                # The file lies on another host, to which the Hub's token must not go.
                headers.pop("authorization", None)
            with partial.open("ab") as opened:
                there = opened.tell()
                if there > file.size:
                    opened.truncate(0)
                    there = 0
                counting(there)
                try:
                    http_get(
                        metadata.location,
                        opened,
                        resume_size=there,
                        headers=headers,
                        expected_size=file.size,
                        displayed_filename=file.path,
                        tqdm_class=_meter(_no_more_than(file, opened, counting)),
                    )
                except HfHubHTTPError as error:
                    status = error.response.status_code
                    if metadata.location == url or status not in _ENDED_LINK:
                        raise
                    words = _ended_link(file.path, metadata.location, status)
                    raise HubUnwellError(words, "Check the clock of this machine") from None


def _no_more_than(file: PublishedFile, opened: IO[bytes], count: Count) -> Count:
    """Ends an answer that brings more bytes than were published; the client would fill the claim with them."""

    def counting(number: int) -> None:
        if opened.tell() > file.size:
            raise HubError(f"the Hub sends more of {file.path} than its {file.size} bytes", "Check HF_ENDPOINT")
        count(number)

    return counting


def _ended_link(file: str, url: str, status: int) -> str:
    return f"{urlsplit(url).netloc} takes the Hub's link to {file} no more ({status})"


def _published(sibling: Any) -> PublishedFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    return PublishedFile(path=sibling.rfilename, size=sibling.size or 0, sha256=sha256, git_blob=sibling.blob_id or "")


def _meter(count: Count) -> type:
    """A progress bar that shows nothing and passes on what it is told."""

    class Meter(tqdm):  # type: ignore[type-arg]
        # Otherwise each of these classes starts a thread that looks after its meters for ever.
        monitor_interval = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            count(int(n or 0))
            return None

    return Meter


@contextmanager
def _counted(count: Count) -> Iterator[Count]:
    """Takes back what was counted if the attempt fails: the next one counts it again."""
    seen = 0

    def counting(number: int) -> None:
        nonlocal seen
        seen += number
        count(number)

    try:
        yield counting
    except BaseException:
        count(-seen)
        raise


@contextmanager
def _named(endpoint: str, model: str, revision: str) -> Iterator[None]:
    """Turns the client's errors into one line that names the remedy."""
    try:
        yield
    except GatedRepoError:
        raise HubError(
            f"the model {model} is gated and this token (or its absence) gives no access", _ACCESS_REMEDY
        ) from None
    except RepositoryNotFoundError:
        raise HubError(
            f"there is no model {model} on {endpoint}, or it is private",
            "Check the spelling (organisation/name); if it is private, give a token that may read it in HF_TOKEN",
        ) from None
    except RevisionNotFoundError:
        raise HubError(
            f"the model {model} has no revision {revision!r}",
            f"Branches and tags are listed at {endpoint}/{model}/tree/main",
        ) from None
    except HFValidationError:
        raise HubError(f"{model!r} is not a model id", "Write it as organisation/name") from None
    except OfflineModeIsEnabled:
        raise HubError("huggingface_hub is in offline mode", "Unset HF_HUB_OFFLINE") from None
    except HfHubHTTPError as error:
        raise _refused(endpoint, model, error) from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise HubError(
            f"{endpoint} describes {model} as no model can be: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
            "Check HF_ENDPOINT",
        ) from None
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise HubError(f"{endpoint} describes {model} in a form that is not the Hub's: {error!r}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_CLAIM:
            raise
        raise HubError(f"{model} could not be read from {endpoint}: {first_line(error)}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
            raise
        raise HubUnwellError(
            f"cannot reach {endpoint}: {first_line(error)}",
            "Check the network and the proxy settings; for a mirror of the Hub set HF_ENDPOINT",
        ) from None


def _refused(endpoint: str, model: str, error: HfHubHTTPError) -> HubError:
    status = error.response.status_code
    if status in (401, 403):
        return HubError(f"{endpoint} refused the token for {model} ({status})", _ACCESS_REMEDY)
    kind = HubUnwellError if status >= 500 or status in (408, 429) else HubError
    return kind(f"{endpoint} answered {status} for {model}: {first_line(error)}", "Try again later")
