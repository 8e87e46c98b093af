"""Which request the Hub answers how, and which it refuses."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.parts import hub_json
from tests.parts.hub_store import Commit, File, Repository, Store
from tests.parts.xet import XetStorage

API_VERBS = ("revision", "tree", "commits", "refs", "paths-info", "xet-read-token")
COMMITS_PER_PAGE = 50


@dataclass(frozen=True)
class Request:
    """A request, with what is needed of its surroundings."""

    target: str
    headers: Message
    body: bytes
    hub_url: str
    cdn_url: str

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters behind the question mark."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def segments(self) -> list[str]:
        """The path's parts, each unescaped on its own, for a revision may contain an escaped slash."""
        return [unquote(part) for part in urlsplit(self.target).path.strip("/").split("/")]

    def flag(self, name: str) -> bool:
        """Whether a parameter says yes."""
        return self.query.get(name, [""])[-1].lower() in ("true", "1")


@dataclass
class Answer:
    """A status with headers and either a body or a file."""

    status: int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Path | None = None
    fault_target: str = ""


class RefusedError(Exception):
    """A request which is answered by an error of the Hub."""

    def __init__(self, status: HTTPStatus, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        """Refuse with a status, and the code that the client tells errors apart by."""
        super().__init__(message)
        self.answer = _json({"error": message})
        self.answer.status = status
        self.answer.headers |= {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.answer.headers |= headers or {}


class Routes:
    """The Hub's answers over a store."""

    def __init__(self, store: Store, tokens: Mapping[str, set[str]], page_size: int) -> None:
        """Answer from a store.

        Args:
            store: The repositories.
            tokens: For each known token, the private and gated repositories that it may read.
            page_size: The number of entries in one page of a listing.
        """
        self._store = store
        self._tokens = tokens
        self._page_size = page_size
        self.link_seconds = 0.0
        self.xet: XetStorage | None = None

    def answer(self, request: Request) -> Answer:
        """Answer a request, be it by an error."""
        try:
            return self._route(request)
        except RefusedError as refused:
            return refused.answer

    def _route(self, request: Request) -> Answer:
        match request.segments:
            case ["cdn", sha256, *path]:
                return self._cdn(request, sha256, "/".join(path))
            case ["api", "whoami-v2"]:
                return self._whoami(request)
            case ["api", "models", *rest]:
                return self._api(request, *_split(rest, API_VERBS))
            case segments if "resolve" in segments[1:3]:
                return self._resolve(request, *_split(segments, ("resolve",)))
        raise RefusedError(HTTPStatus.NOT_FOUND, "Sorry, we can't find the page you are looking for.")

    def _api(self, request: Request, repo_id: str, verb: str, rest: list[str]) -> Answer:
        repository = self._repository(repo_id, self._token(request))
        if verb == "refs":
            return _json(hub_json.refs(repository, pull_requests=request.flag("include_prs")))
        commit = _commit(repository, rest[0] if rest else "main")
        match verb:
            case "xet-read-token":
                return _xet_token(self.xet)
            case "tree":
                return self._tree(request, repository, commit, "/".join(rest[1:]))
            case "commits":
                return _page(request, hub_json.commits(repository, commit), COMMITS_PER_PAGE)
            case "paths-info":
                return _paths_info(request, repository, commit)
        return self._model(request, repository, commit)

    def _model(self, request: Request, repository: Repository, commit: Commit) -> Answer:
        described = hub_json.model(self._store, repository, commit, blobs=request.flag("blobs"))
        expanded = request.query.get("expand", []) + request.query.get("expand[]", [])
        if expanded:
            described = {key: value for key, value in described.items() if key in ("_id", "id", *expanded)}
        return _json(described)

    def _tree(self, request: Request, repository: Repository, commit: Commit, folder: str) -> Answer:
        expand = request.flag("expand")
        entries = hub_json.tree(repository, commit, folder, recursive=request.flag("recursive"), expand=expand)
        if entries is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"{folder} does not exist", "EntryNotFound")
        return _page(request, entries, self._page_size)

    def _resolve(self, request: Request, repo_id: str, _: str, rest: list[str]) -> Answer:
        token = self._token(request)
        repository = self._repository(repo_id, token)
        self._refuse_gated(repository, token)
        commit = _commit(repository, rest[0] if rest else "")
        headers = {"X-Repo-Commit": commit.id}
        file = commit.files.get("/".join(rest[1:]))
        if file is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Entry not found", "EntryNotFound", headers)
        headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(file.path.rpartition('/')[2])}"
        if file.lfs:
            if self.xet and file.sha256 in self.xet.hashes:
                headers["X-Xet-Hash"] = self.xet.hashes[file.sha256]
                token = f"{request.hub_url}/api/models/{repo_id}/xet-read-token/{commit.id}"
                headers["Link"] = f'<{token}>; rel="xet-auth"'
            return _redirect(request, repo_id, file, headers, self.link_seconds)
        headers["ETag"] = f'"{file.blob_id}"'
        return Answer(headers=headers, content=self._store.blob(file.sha256), fault_target=f"{repo_id}/{file.path}")

    def _cdn(self, request: Request, sha256: str, fault_target: str) -> Answer:
        if float(request.query.get("Expires", ["inf"])[-1]) < time.time():
            # S3's and CloudFront's answer to a signed link that has ended.
            raise RefusedError(HTTPStatus.FORBIDDEN, "Request has expired")
        content = self._store.blob(sha256)
        if not (sha256.isalnum() and content.exists()):
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such key")
        return Answer(headers={"ETag": f'"{sha256}"'}, content=content, fault_target=fault_target)

    def _whoami(self, request: Request) -> Answer:
        token = self._token(request)
        if token is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid username or password.")
        access = {"displayName": "test", "role": "read"}
        return _json({"type": "user", "name": "tester", "orgs": [], "auth": {"accessToken": access}})

    def _token(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer" or token not in self._tokens:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid credentials in Authorization header")
        return token

    def _repository(self, repo_id: str, token: str | None) -> Repository:
        repository = self._store.load(repo_id)
        if repository and not (repository.private and not self._granted(repo_id, token)):
            return repository
        # The Hub keeps silent to strangers about whether a repository exists.
        if token is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid username or password.", "RepoNotFound")
        raise RefusedError(HTTPStatus.NOT_FOUND, "Repository not found", "RepoNotFound")

    def _refuse_gated(self, repository: Repository, token: str | None) -> None:
        if not repository.gated or self._granted(repository.id, token):
            return
        restricted = f"Access to model {repository.id} is restricted"
        if token is None:
            message = f"{restricted}. You must have access to it and be authenticated to access it. Please log in."
            raise RefusedError(HTTPStatus.UNAUTHORIZED, message, "GatedRepo")
        message = f"{restricted} and you are not in the authorized list."
        raise RefusedError(HTTPStatus.FORBIDDEN, message, "GatedRepo")

    def _granted(self, repo_id: str, token: str | None) -> bool:
        return token is not None and repo_id in self._tokens[token]


def _split(segments: list[str], verbs: tuple[str, ...]) -> tuple[str, str, list[str]]:
    for length in (1, 2):
        if len(segments) > length and segments[length] in verbs:
            return "/".join(segments[:length]), segments[length], segments[length + 1 :]
    return "/".join(segments), "", []


def _commit(repository: Repository, revision: str) -> Commit:
    commit = repository.resolve(revision)
    if commit is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _redirect(request: Request, repo_id: str, file: File, headers: dict[str, str], link_seconds: float) -> Answer:
    location = f"{request.cdn_url}/cdn/{file.sha256}/{quote(repo_id)}/{quote(file.path)}"
    location += f"?Expires={time.time() + link_seconds}" if link_seconds else ""
    headers |= {"Location": location, "X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
    headers |= {"Accept-Ranges": "bytes", "Content-Type": "text/plain; charset=utf-8"}
    return Answer(HTTPStatus.FOUND, headers, f"Found. Redirecting to {location}".encode())


def _xet_token(xet: XetStorage | None) -> Answer:
    if xet is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Not on Xet")
    xet.tokens_given += 1
    ends = int(time.time() + xet.token_seconds)
    answer = _json({"casUrl": xet.endpoint, "exp": ends, "accessToken": f"token-{xet.tokens_given}"})
    answer.headers |= {"X-Xet-Cas-Url": xet.endpoint, "X-Xet-Access-Token": f"token-{xet.tokens_given}"}
    answer.headers["X-Xet-Token-Expiration"] = str(ends)
    return answer


def _page(request: Request, items: list[dict[str, Any]], page_size: int) -> Answer:
    query = {name: values[-1] for name, values in request.query.items()}
    start = int(query.get("cursor", "0"))
    size = min(int(query.get("limit", page_size)), page_size)
    answer = _json(items[start : start + size])
    if start + size < len(items):
        path = urlsplit(request.target).path
        following = urlencode({**query, "cursor": start + size})
        answer.headers["Link"] = f'<{request.hub_url}{path}?{following}>; rel="next"'
    return answer


def _paths_info(request: Request, repository: Repository, commit: Commit) -> Answer:
    wanted, expand = _wanted_paths(request)
    return _json(hub_json.paths(repository, commit, wanted, expand=expand))


def _wanted_paths(request: Request) -> tuple[list[str], bool]:
    if request.headers.get("Content-Type", "").startswith("application/json"):
        asked = json.loads(request.body)
        return list(asked["paths"]), bool(asked.get("expand"))
    form = parse_qs(request.body.decode())
    return form.get("paths", []), form.get("expand", [""])[-1].lower() == "true"


def _json(value: Any) -> Answer:
    # Dates of a YAML front matter have no JSON form of their own.
    text = json.dumps(value, default=str).encode()
    return Answer(headers={"Content-Type": "application/json; charset=utf-8"}, body=text)


def header_lines(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give headers in a form that can be sent, whatever names a client asked for."""
    for name, value in headers.items():
        yield name, "".join(char if " " <= char <= "~" else "?" for char in value)
