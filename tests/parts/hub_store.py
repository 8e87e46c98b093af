"""Model repositories on disk: commits, branches and tags, with every content stored once by its digest."""

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")
LFS_NAMES = ("tokenizer.model", "tokenizer.json")
LFS_BYTES = 10_000_000


@dataclass(frozen=True)
class Absent:
    """A large file of which only size and hash are known: it is published, and whoever asks for its bytes gets none."""

    size: int
    sha256: str


Source = bytes | str | Path | Absent


@dataclass(frozen=True)
class File:
    """One file of a commit; `blob_id` is the git object, which is the pointer's when the file is in LFS."""

    path: str
    size: int
    sha256: str
    blob_id: str
    pointer_size: int | None = None

    @property
    def lfs(self) -> bool:
        """Whether git holds only a pointer to the content."""
        return self.pointer_size is not None


@dataclass(frozen=True)
class Commit:
    """A state of all files, with the commit it follows."""

    id: str
    parent: str | None
    title: str
    message: str
    date: str
    files: dict[str, File]


@dataclass
class Repository:
    """A model repository with its history."""

    id: str
    created: str
    private: bool = False
    gated: bool | str = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def resolve(self, revision: str) -> Commit | None:
        """Find the commit of a branch, a tag or a full commit id."""
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)

    def history(self, commit: Commit) -> list[Commit]:
        """List a commit and its ancestors, the newest first."""
        found: list[Commit] = []
        following: Commit | None = commit
        while following is not None:
            found.append(following)
            following = self.commits[following.parent] if following.parent else None
        return found


class Store:
    """The repositories under one folder, which several processes may read while one publishes."""

    def __init__(self, root: Path) -> None:
        """Open the store, making its folders if need be.

        Args:
            root: The folder for contents and repositories.
        """
        self.root = root
        self._lock = threading.RLock()
        self._loaded: dict[str, tuple[tuple[int, int], Repository]] = {}
        for name in ("blobs", "repositories"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def blob(self, sha256: str) -> Path:
        """Name the file that holds a content."""
        return self.root / "blobs" / sha256

    def load(self, repo_id: str) -> Repository | None:
        """Read a repository, as last published by whichever process."""
        path = self._path(repo_id)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        stamp = (stat.st_ino, stat.st_mtime_ns)
        with self._lock:
            if self._loaded.get(repo_id, (None,))[0] != stamp:
                self._loaded[repo_id] = (stamp, _decode(json.loads(path.read_text())))
            return self._loaded[repo_id][1]

    def commit(
        self,
        repo_id: str,
        sources: Mapping[str, Source],
        *,
        message: str,
        date: datetime,
        branch: str = "main",
        private: bool | None = None,
        gated: bool | str | None = None,
    ) -> str:
        """Add a commit which holds exactly the given files.

        Sources above 10 MB are linked, not copied: replace such a file to change it, never write into it.

        Returns:
            The id of the new commit.
        """
        files = self._keep_all(sources)
        with self._lock:
            known = self.load(repo_id)
            repository = _decode(_encode(known)) if known else Repository(repo_id, _timestamp(date))
            repository.private = repository.private if private is None else private
            repository.gated = repository.gated if gated is None else gated
            parent = repository.branches.get(branch) or repository.branches.get("main")
            commit = _commit(parent, message, _timestamp(date), files)
            repository.commits[commit.id] = commit
            repository.branches[branch] = commit.id
            self._save(repository)
        return commit.id

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        """Give a commit a tag.

        Raises:
            KeyError: The repository or the commit is unknown.
        """
        with self._lock:
            repository = self.load(repo_id)
            if repository is None or commit not in repository.commits:
                raise KeyError(f"{repo_id} has no commit {commit}")
            repository.tags[name] = commit
            self._save(repository)

    def _path(self, repo_id: str) -> Path:
        return self.root / "repositories" / f"{quote(repo_id, safe='')}.json"

    def _save(self, repository: Repository) -> None:
        _replace(self._path(repository.id), json.dumps(_encode(repository)).encode())

    def _keep_all(self, sources: Mapping[str, Source]) -> dict[str, File]:
        digests_path = self.root / "digests.json"
        digests: dict[str, str] = json.loads(digests_path.read_text()) if digests_path.exists() else {}
        known = len(digests)
        with ThreadPoolExecutor() as pool:
            files = list(pool.map(lambda path: self._keep(path, sources[path], digests), sorted(sources)))
        if len(digests) > known:
            _replace(digests_path, json.dumps(digests).encode())
        return {file.path: file for file in files}

    def _keep(self, path: str, source: Source, digests: dict[str, str]) -> File:
        if isinstance(source, Absent):
            return _lfs_file(path, source.size, source.sha256)
        if isinstance(source, Path) and source.stat().st_size > LFS_BYTES:
            sha256 = _digest(source, digests)
            _link(source, self.blob(sha256))
            return _lfs_file(path, source.stat().st_size, sha256)
        content = source.read_bytes() if isinstance(source, Path) else _as_bytes(source)
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.blob(sha256).exists():
            _replace(self.blob(sha256), content)
        if _is_lfs(path, len(content)):
            return _lfs_file(path, len(content), sha256)
        return File(path, len(content), sha256, _git_blob_id(content))


def folder_sources(folder: Path) -> dict[str, Source]:
    """Map each file of a folder to its path in the repository."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in paths}
    return {name.as_posix(): path for name, path in names.items() if name.parts[0] != ".git"}


def _as_bytes(source: bytes | str) -> bytes:
    return source.encode() if isinstance(source, str) else source


def _is_lfs(path: str, size: int) -> bool:
    name = path.rpartition("/")[2]
    named = name.endswith(LFS_SUFFIXES) or name in LFS_NAMES or name.startswith("consolidated")
    return named or size > LFS_BYTES


def _lfs_file(path: str, size: int, sha256: str) -> File:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return File(path, size, sha256, _git_blob_id(pointer), len(pointer))


def _git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _digest(source: Path, digests: dict[str, str]) -> str:
    stat = source.stat()
    key = f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}"
    if key not in digests:
        with source.open("rb") as content:
            digests[key] = hashlib.file_digest(content, "sha256").hexdigest()
    return digests[key]


def _link(source: Path, blob: Path) -> None:
    if blob.exists():
        return
    blob.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), blob)
    except FileExistsError:
        return
    except OSError:
        # A hard link cannot cross file systems.
        blob.symlink_to(source.resolve())


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{uuid.uuid4().hex}")
    draft.write_bytes(content)
    draft.replace(path)


def _timestamp(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _commit(parent: str | None, message: str, date: str, files: dict[str, File]) -> Commit:
    listing = {path: file.blob_id for path, file in files.items()}
    identity = json.dumps([parent, message, date, listing], sort_keys=True)
    title, _, rest = message.partition("\n")
    return Commit(hashlib.sha1(identity.encode()).hexdigest(), parent, title, rest.strip(), date, files)


def _encode(repository: Repository) -> dict[str, Any]:
    return asdict(repository)


def _decode(state: dict[str, Any]) -> Repository:
    commits = {
        key: Commit(**{**value, "files": {path: File(**file) for path, file in value["files"].items()}})
        for key, value in state["commits"].items()
    }
    return Repository(**{**state, "commits": commits})
