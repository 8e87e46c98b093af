"""The Hub: which commit a revision is, what is in it, and readers of its files.

What the Hub says of models goes through `huggingface_hub`; the files' bytes go through modelcar.hub.reader.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from json import JSONDecodeError
from typing import Any, Self

from huggingface_hub import HfApi, ModelInfo, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]
from pydantic import ValidationError

from modelcar import __version__
from modelcar.deadline import DeadlineError, within
from modelcar.errors import HubError, HubUnwellError, NoSuchRevisionError
from modelcar.hub.answers import CHECK_ENDPOINT, UNREACHED, refuse_plain_redirects, within_deadline
from modelcar.hub.card import described_by_card
from modelcar.hub.environment import HUB, find_endpoint
from modelcar.hub.identity import CLIENT, find_token, identity_headers
from modelcar.hub.peek import Peek
from modelcar.hub.read_ahead import ReadAhead
from modelcar.hub.reader import ACCESS_REMEDY, HubFile, Session, Transport, first_line, gated
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.hub.xet import open_xet
from modelcar.retries import retrying

DEFAULT_REVISION = "main"
GREETING_SECONDS = 10.0
"""Time that the Hub may take to say whether it knows a token."""


class Hub:
    """A model Hub. The endpoint and the token come from the environment (HF_ENDPOINT, HF_TOKEN) as everywhere.

    Args:
        transport: How files come: `http`, in parts over several connections; `xet`, over the Hub's own storage
            protocol where it has the file; or `auto`, over that where the pod's memory allows it.

    Raises:
        HubError: There is no such transport, or too little memory for Xet; or the environment names an address, a
            proxy, authorities or a token that cannot be used.
    """

    def __init__(self, transport: str = "http") -> None:
        # The client itself reads HF_ENDPOINT once, when it is imported.
        self._api = HfApi(
            endpoint=find_endpoint(), token=find_token(), library_name=CLIENT, library_version=__version__
        )
        self._read_ahead = ReadAhead()
        self._xet = open_xet(transport, self._api.endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """The Hub's address."""
        return str(self._api.endpoint)

    def accepts_token(self) -> bool:
        """Tells whether the Hub accepts the user's token; without one it says that it knows nobody.

        Raises:
            HubError: It does not answer, or answers that it is unwell.
        """
        url = f"{self.endpoint}/api/whoami-v2"
        try:
            with hub_errors(self.endpoint, "the account", ""):
                ask = partial(get_session().get, url, headers=identity_headers(), timeout=GREETING_SECONDS)
                status = int(within(GREETING_SECONDS, lambda: ask(follow_redirects=True)).status_code)
        except DeadlineError:
            what = f"cannot reach {self.endpoint}: no answer within {GREETING_SECONDS:.0f} s"
            raise HubUnwellError(what, UNREACHED) from None
        if status >= 500:
            raise HubUnwellError(f"{self.endpoint} answers {status}", "Try again later")
        return status not in (401, 403)

    @cached_property
    def _transport(self) -> Transport:
        # Only when it is needed: the authorities that a session trusts take a moment to read.
        return Transport(Session(), self._read_ahead, self._xet)

    @retrying
    @within_deadline
    def snapshot(self, model: str, revision: str = DEFAULT_REVISION) -> Snapshot:
        """Resolves a revision to its commit and lists all that is in it.

        Args:
            model: The model's id, `organisation/name`.
            revision: A branch, a tag or a commit.

        Raises:
            HubError: The model or revision does not exist, or may not be read; with the remedy.
        """
        with hub_errors(self._api.endpoint, model, revision):
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

    @retrying
    def branch_of(self, model: str, commit: str) -> str:
        """Finds a branch or tag of a repository whose history holds a commit.

        Anybody may open a pull request, and the Hub serves its commits as it does the owner's; only what a branch or a
        tag reaches was put there by somebody who may write to the repository.

        Args:
            model: The model's id.
            commit: The commit.

        Returns:
            Its name; empty if there is none.

        Raises:
            HubError: The Hub refused, or does not tell.
        """
        with hub_errors(self._api.endpoint, model, commit):
            refs = self._api.list_repo_refs(model)
            owned = [ref for ref in (*refs.tags, *refs.branches) if ref.ref.startswith(("refs/heads/", "refs/tags/"))]
            named = {ref.target_commit: ref.name for ref in owned}
            if commit in named:
                return str(named[commit])
            for end, name in named.items():
                if any(one.commit_id == commit for one in self._api.list_repo_commits(model, revision=end)):
                    return str(name)
            return ""

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
        """Returns a reader of small parts of a commit's files."""
        return Peek(snapshot, self._api.endpoint, self._transport.session)

    def branches(self, model: str) -> tuple[str, ...]:
        """Names a model's branches; none if the Hub does not list them."""
        with suppress(Exception):
            return tuple(ref.name for ref in self._api.list_repo_refs(model).branches)
        return ()

    def readers(self, snapshot: Snapshot) -> Callable[[PublishedFile], HubFile]:
        """Returns what gives, for each file of a commit, a reader of its bytes."""
        return lambda file: self.reader(snapshot, file)

    def reader(self, snapshot: Snapshot, file: PublishedFile) -> HubFile:
        """Returns a reader of a file's bytes, or of any part of them."""
        url = hf_hub_url(snapshot.model, file.path, revision=snapshot.commit, endpoint=self._api.endpoint)
        return HubFile(url, snapshot.model, file.path, file.size, self._transport)

    def close(self) -> None:
        """Ends all reads."""
        self._read_ahead.close()

    @retrying
    @within_deadline
    def check_access(self, snapshot: Snapshot, file: PublishedFile) -> None:
        """Sees whether a file may be read, from its header alone: of a gated model the Hub shows everyone the list.

        Raises:
            HubError: It may not be read, or the Hub went away.
        """
        with hub_errors(self._api.endpoint, snapshot.model, snapshot.commit):
            url = hf_hub_url(snapshot.model, file.path, revision=snapshot.commit, endpoint=self._api.endpoint)
            get_hf_file_metadata(url, headers=identity_headers())


def _published(sibling: Any) -> PublishedFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    return PublishedFile(path=sibling.rfilename, size=sibling.size or 0, sha256=sha256, git_blob=sibling.blob_id or "")


@contextmanager
def hub_errors(endpoint: str, model: str, revision: str) -> Iterator[None]:
    """Turns the client's errors into one line that names the remedy."""
    refuse_plain_redirects()
    try:
        yield
    except GatedRepoError:
        raise gated(model) from None
    except RepositoryNotFoundError:
        raise HubError(
            f"there is no model {model} on {endpoint}, or it is private",
            "Check the spelling (organisation/name); if it is private, give a token that may read it in HF_TOKEN",
        ) from None
    except RevisionNotFoundError:
        raise NoSuchRevisionError(
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
            CHECK_ENDPOINT,
        ) from None
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"{endpoint} describes {model} in a form that is not the Hub's: {error!r}"
        raise HubError(what, CHECK_ENDPOINT) from None
    except JSONDecodeError:
        raise HubError(f"{endpoint} sends no JSON for {model}, and so is no Hub", CHECK_ENDPOINT) from None
    except (OSError, ValueError) as error:
        raise HubError(f"{model} could not be read from {endpoint}: {first_line(error)}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
            raise
        raise HubUnwellError(f"cannot reach {endpoint}: {first_line(error)}", UNREACHED) from None


def _refused(endpoint: str, model: str, error: HfHubHTTPError) -> HubError:
    status = error.response.status_code
    if status in (401, 403):
        return HubError(f"{endpoint} refused the token for {model} ({status})", ACCESS_REMEDY)
    kind = HubUnwellError if status >= 500 or status in (408, 429) else HubError
    return kind(f"{endpoint} answered {status} for {model}: {first_line(error)}", "Try again later")
