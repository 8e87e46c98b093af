"""What the Hub tells of a repository, in the shapes of its JSON API."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from tests.parts.hub_store import Commit, File, Repository, Store

PULLS = "refs/pr/"
"""What the names of pull requests' branches begin with. Anybody may open one."""

CONFIG_KEYS = ("architectures", "model_type", "quantization_config", "auto_map")


def model(store: Store, repository: Repository, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """Describe a model at one commit.

    Args:
        store: Where the contents are.
        repository: The model's repository.
        commit: The revision.
        blobs: Whether the files come with their sizes and digests.
    """
    card = read_card(_content(store, commit, "README.md"))
    config = _config(_content(store, commit, "config.json"))
    return {
        "_id": hashlib.sha1(repository.id.encode()).hexdigest()[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.partition("/")[0] if "/" in repository.id else None,
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": repository.created,
        "private": repository.private,
        "gated": "manual" if repository.gated is True else repository.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(card, config, commit),
        "pipeline_tag": card.get("pipeline_tag"),
        "library_name": card.get("library_name"),
        "cardData": card,
        "config": config,
        "siblings": [_sibling(file, blobs) for file in commit.files.values()],
        "usedStorage": sum(file.size for file in commit.files.values()),
    }


def read_card(readme: bytes) -> dict[str, Any]:
    """Read the YAML front matter of a README."""
    parts = readme.decode(errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        card = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def write_card(card: dict[str, Any], readme: bytes) -> bytes:
    """Give a README another front matter."""
    body = readme.decode()
    if read_card(readme):
        body = body.split("---\n", 2)[2]
    return f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n{body}".encode()


def tree(
    repository: Repository, commit: Commit, folder: str, *, recursive: bool, expand: bool
) -> list[dict[str, Any]] | None:
    """List a folder, or nothing when there is no such folder."""
    inside = {path: file for path, file in commit.files.items() if path.startswith(f"{folder}/" if folder else "")}
    if folder and not inside:
        return None
    depth = folder.count("/") + 1 if folder else 0
    paths = {"/".join(path.split("/")[:end]) for path in inside for end in range(depth + 1, path.count("/") + 2)}
    shown = sorted(path for path in paths if recursive or path.count("/") == depth)
    return [entry(repository, commit, path, expand=expand) for path in shown]


def entry(repository: Repository, commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
    """Describe a file or a folder of a commit."""
    file = commit.files.get(path)
    folder: dict[str, Any] = {"type": "directory", "oid": _identity(commit, path), "size": 0}
    described = _file_entry(file) if file else folder
    described["path"] = path
    if expand:
        last = _last_change(repository, commit, path)
        described["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
    return described


def paths(repository: Repository, commit: Commit, wanted: list[str], *, expand: bool) -> list[dict[str, Any]]:
    """Describe those of the wanted paths that exist."""
    known = [path for path in wanted if _identity(commit, path) is not None]
    return [entry(repository, commit, path, expand=expand) for path in known]


def commits(repository: Repository, commit: Commit) -> list[dict[str, Any]]:
    """List the history which ends in a commit."""
    authors = [{"user": repository.id.partition("/")[0]}]
    return [
        {"id": one.id, "title": one.title, "message": one.message, "authors": authors, "date": one.date}
        for one in repository.history(commit)
    ]


def refs(repository: Repository, *, pull_requests: bool) -> dict[str, Any]:
    """List branches and tags."""
    named = repository.branches.items()
    listed: dict[str, Any] = {
        "branches": [_ref(f"refs/heads/{name}", name, commit) for name, commit in named if not _is_pull(name)],
        "tags": [_ref(f"refs/tags/{name}", name, commit) for name, commit in repository.tags.items()],
        "converts": [],
    }
    pulls = [_ref(name, name.removeprefix(PULLS), commit) for name, commit in named if _is_pull(name)]
    return {**listed, "pullRequests": pulls} if pull_requests else listed


def _is_pull(branch: str) -> bool:
    return branch.startswith(PULLS)


def _ref(ref: str, name: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": commit}


def _content(store: Store, commit: Commit, path: str) -> bytes:
    file = commit.files.get(path)
    content = Path(store.blob(file.sha256)) if file else None
    # Of some files only size and hash are known.
    return content.read_bytes() if content is not None and content.exists() else b""


def _config(text: bytes) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError:
        return {}
    return {key: config[key] for key in CONFIG_KEYS if key in config}


def _tags(card: dict[str, Any], config: dict[str, Any], commit: Commit) -> list[str]:
    found = [card.get("library_name"), config.get("model_type"), card.get("pipeline_tag")]
    found += ["safetensors"] if any(path.endswith(".safetensors") for path in commit.files) else []
    found += [*_several(card, "tags"), *_several(card, "language")]
    found += [f"dataset:{name}" for name in _several(card, "datasets")]
    relation = card.get("base_model_relation", "finetune")
    for name in _several(card, "base_model"):
        found += [f"base_model:{name}", f"base_model:{relation}:{name}"]
    found += [f"license:{name}" for name in _several(card, "license")]
    return list(dict.fromkeys(tag for tag in [*found, "region:us"] if tag))


def _several(card: dict[str, Any], key: str) -> list[str]:
    value = card.get(key) or []
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _sibling(file: File, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        sibling |= {"size": file.size, "blobId": file.blob_id}
    if blobs and file.lfs:
        sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return sibling


def _file_entry(file: File) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size}
    if file.lfs:
        described["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return described


def _identity(commit: Commit, path: str) -> str | None:
    file = commit.files.get(path)
    if file:
        return file.blob_id
    inside = sorted((name, one.blob_id) for name, one in commit.files.items() if name.startswith(f"{path}/"))
    return hashlib.sha1(repr(inside).encode()).hexdigest() if inside else None


def _last_change(repository: Repository, commit: Commit, path: str) -> Commit:
    last = commit
    for older in repository.history(commit)[1:]:
        if _identity(older, path) != _identity(commit, path):
            break
        last = older
    return last
