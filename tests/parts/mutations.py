"""Random changes of an image: of its documents, of its layers' members and of their very bytes."""

import io
import tarfile
from collections.abc import Callable
from random import Random
from typing import Any

from tests.parts.forged import FILES, Forgery, Json

NAMES = (
    "models/", "models/config.json", "models/model-00001-of-00002.safetensors", "models/.wh.config.json", "models/x/",
    "models/.wh..wh..opq", "models/.wh.x/", "config.json", "bin/sh", ".wh.models", "./models/config.json", "models//x",
    "/models/x", "models/../x", "models/\x1b[2J", "models/" + "x" * 200, "models/ü", "models/x/y/z", "models", "",
    "models/config.json/", "models/config.json/x", "models/CONFIG.JSON", "models/config.json ", "models/\u202ex",
)  # fmt: skip
KINDS = (
    tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
    tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.AREGTYPE,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1 << 70, 1.5, "", "x", "sha256:" + "0" * 64, [], {}, ["x"], {"x": "y"}, [[]],
    "\x1b[2J", "1970-01-01T00:00:00Z", "linux", "arm64", "application/vnd.oci.image.layer.v1.tar+gzip",
)  # fmt: skip
SET_BY_PUSHING = ("digest", "size")
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)

Mutation = Callable[[Random, Forgery, Callable[[str], bytes]], None]


def change_json(random: Random, document: Any) -> None:
    """Changes one value somewhere in a document: another, none, one more, or two in each other's places."""
    place = _pick(random, document)
    if isinstance(place, dict):
        key = random.choice([*place, "x"]) if place else "x"
        if key in SET_BY_PUSHING:
            key = "x"
        if key in place and random.random() < 0.3:
            del place[key]
        else:
            place[key] = random.choice(VALUES)
    elif isinstance(place, list):
        action = random.randrange(4)
        if place and action == 0:
            place.pop(random.randrange(len(place)))
        elif place and action == 1:
            place.append(place[random.randrange(len(place))])
        elif len(place) > 1 and action == 2:
            place.insert(0, place.pop())
        else:
            place.insert(random.randrange(len(place) + 1), random.choice(VALUES))


def _pick(random: Random, document: Any) -> Any:
    """Walks down to an object or a list."""
    while True:
        below = document.values() if isinstance(document, dict) else document
        inner = [one for one in below if isinstance(one, dict | list)]
        if not inner or random.random() < 0.4:
            return document
        document = random.choice(inner)


def in_config(random: Random, forged: Forgery, _read: object) -> None:
    change_json(random, random.choice(forged.configs))


def in_manifest(random: Random, forged: Forgery, _read: object) -> None:
    change_json(random, random.choice(forged.manifests))


def in_index(random: Random, forged: Forgery, _read: object) -> None:
    change_json(random, forged.index)


def in_every_platform(random: Random, forged: Forgery, _read: object) -> None:
    """The same change in all configs or all manifests, as a careful forger makes it."""
    seed = random.randrange(1 << 30)
    for document in random.choice((forged.configs, forged.manifests)):
        change_json(Random(seed), document)


def in_annotations(random: Random, forged: Forgery, _read: object) -> None:
    name = random.choice([*forged.index["annotations"], "x"])
    forged.say(name, random.choice((None, "", "x", "sha256:" + "0" * 64, "\x1b[2J", "99")))


def in_members(random: Random, forged: Forgery, read: Callable[[str], bytes]) -> None:
    """Members of one of the model's layers, in a tar that any tool may have written."""
    at = random.choice(forged.model_layers())
    members = _members(read(forged.manifests[0]["layers"][at]["digest"]))
    _change_members(random, members)
    form = random.choice(FORMATS)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    written = out.getvalue()
    end = len(written.rstrip(b"\0"))
    forged.replace_layer(at, written[: end + -end % 512] + bytes(1024) if random.random() < 0.8 else written)


def _members(layer: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for info in tar:
            opened = tar.extractfile(info)
            found.append((info, opened.read() if opened is not None else b""))
    return found


def _change_members(random: Random, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    action = random.randrange(8) if members else 0
    at = random.randrange(len(members)) if members else 0
    if action == 0:
        info = tarfile.TarInfo(random.choice(NAMES))
        info.type, info.mode, info.linkname = random.choice(KINDS), random.choice((0o664, 0o775, 0o4777)), "config.json"
        content = b"evil" if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else b""
        members.insert(random.randrange(len(members) + 1), (info, content))
    elif action == 1:
        members.pop(at)
    elif action == 2:
        members.insert(random.randrange(len(members) + 1), members[at])
    elif action == 3:
        random.shuffle(members)
    elif action == 4:
        members[at][0].name = random.choice(NAMES)
    elif action == 5:
        info, content = members[at]
        changed = bytearray(content or b"x")
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        members[at] = (info, bytes(changed))
    elif action == 6:
        setattr(members[at][0], *random.choice((("mode", 0o777), ("uid", 1), ("gid", 7), ("mtime", 1), ("uname", "x"))))
    else:
        members[at][0].pax_headers = {random.choice(("path", "size", "mtime", "x", "SCHILY.xattr.x")): "1"}


def in_bytes(random: Random, forged: Forgery, read: Callable[[str], bytes]) -> None:
    """The very bytes of a layer, with the digests put right all the way up."""
    at = random.randrange(len(forged.manifests[0]["layers"]))
    content = bytearray(read(forged.manifests[0]["layers"][at]["digest"]))
    action = random.randrange(4)
    place = random.choice((random.randrange(len(content)), random.randrange(min(len(content), 2048))))
    if action == 0:
        content[place] ^= 1 << random.randrange(8)
    elif action == 1:
        content += bytes(random.choice((1, 512, 1024)))
    elif action == 2:
        del content[place:]
    else:
        content[place:place] = bytes(512)
    forged.replace_layer(at, bytes(content))


def in_layers(random: Random, forged: Forgery, read: Callable[[str], bytes]) -> None:
    """Whole layers: one less, one twice, one in another place."""
    count = len(forged.manifests[0]["layers"])
    at, to = random.randrange(count), random.randrange(count)
    action = random.randrange(3)

    def change(manifest: Json, config: Json) -> None:
        for part in (manifest["layers"], config["rootfs"]["diff_ids"]):
            if action == 0:
                part.pop(at)
            elif action == 1:
                part.insert(to, part[at])
            else:
                part.insert(to, part.pop(at))

    forged.each(change)


def in_keys(random: Random, forged: Forgery, _read: object) -> None:
    """What layers say to hold."""
    layers = [manifest["layers"] for manifest in forged.manifests]
    at, other = random.choice(forged.model_layers()), random.choice(forged.model_layers())
    name = layers[0][other]["annotations"][FILES] if random.random() < 0.5 else "x"
    for each in layers:
        each[at]["annotations"] = {FILES: name}


MUTATIONS: tuple[Mutation, ...] = (
    in_config, in_config, in_manifest, in_index, in_every_platform, in_annotations, in_members, in_members, in_bytes,
    in_layers, in_keys,
)  # fmt: skip
