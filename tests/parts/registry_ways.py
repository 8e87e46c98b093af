"""Ways in which registries and what stands before them answer, each as bends of an ordinary registry's answers.

A way need not be right, nor anybody's: what counts is that whoever meets it comes no less far than skopeo does.
"""

import gzip
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from modelcar.oci import spec
from tests.parts.bent_registry import (
    BLOBS,
    MANIFESTS,
    REFERRERS,
    UPLOADS,
    Answer,
    BentRegistry,
    Change,
    error,
    headers,
    on_path,
    status,
)
from tests.parts.fault_proxy import Seen

ALL = r"/v2/."
GREETING = r"^/v2/$"
MOUNTS = r"/blobs/uploads/\?.*mount="
MIB = 1 << 20


@dataclass(frozen=True)
class Way:
    """A way of answering.

    Attributes:
        name: What it is, in words.
        bends: Each takes a registry and bends it.
    """

    name: str
    bends: tuple[Callable[[BentRegistry], object], ...]

    def __str__(self) -> str:
        """Its name, as a test's."""
        return self.name.replace(" ", "-")

    def bend(self, registry: BentRegistry) -> None:
        """Bends a registry this way."""
        for bend in self.bends:
            bend(registry)


def way(name: str, methods: str, path: str, change: Change, **options: object) -> Way:
    """Makes a way of one bend."""
    return Way(name, (lambda registry: registry.bend(methods, path, change, **options),))


def _each(
    codes: Iterable[int], name: str, methods: str, path: str, change: Callable[[int], Change], **options: object
) -> list[Way]:
    """Makes a way of each of some numbers, which stands in its name for `{}`."""
    return [way(name.format(code), methods, path, change(code), **options) for code in codes]


def _once(code: int) -> Change:
    return error(code, message="later")


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _page(code: int) -> Change:
    """Makes a bend answer what a gateway shows to people."""
    body = f"<html><head><title>{code}</title></head><body><h1>Error {code}</h1></body></html>".encode()
    return lambda _: Answer(code, (("Content-Type", "text/html; charset=UTF-8"),), body)


def _upload_of(repository: str = "", host: str = "") -> Callable[[Seen], Answer]:
    """Makes a bend begin an upload in place of what was asked, in a repository or in the one that is meant."""

    def begun(request: Seen) -> Answer:
        own = request.path.removeprefix("/v2/").partition("/blobs/")[0]
        return Answer(202, (("Location", f"{host}/v2/{repository or own}/blobs/uploads/begun"), ("Range", "0-0")))

    return begun


def _instead_of(was: int) -> Callable[[int], Change]:
    return lambda code: lambda answer: status(code)(answer) if answer.status == was else answer


def _header(answer: Answer, name: str) -> str:
    return next((value for own, value in answer.headers if own.lower() == name.lower()), "")


def _location(change: Callable[[str], str]) -> Change:
    """Makes a bend change where an answer leads."""

    def changed(answer: Answer) -> Answer:
        there = _header(answer, "Location")
        return answer.with_headers(Location=change(there)) if there else answer

    return changed


def _query(more: str) -> Change:
    return _location(lambda url: url + ("&" if "?" in url else "?") + more)


def _media_type(change: Callable[[str], str | None]) -> Change:
    return lambda answer: answer.with_headers(Content_Type=change(_header(answer, "Content-Type")))


def _in_small_letters(answer: Answer) -> Answer:
    return replace(answer, headers=tuple((name.lower(), value) for name, value in answer.headers))


def _digest_in_capital_letters(answer: Answer) -> Answer:
    algorithm, _, digits = _header(answer, "Docker-Content-Digest").partition(":")
    return answer.with_headers(Docker_Content_Digest=f"{algorithm}:{digits.upper()}" if digits else None)


def _zipped(answer: Answer) -> Answer:
    return replace(answer.with_headers(Content_Encoding="gzip", Content_Length=None), body=gzip.compress(answer.body))


def _before(name: str, *values: str) -> Change:
    """Makes a bend send headers before all others."""
    return lambda answer: replace(answer, headers=(*((name, value) for value in values), *answer.headers))


def _headers_of_its_own(count: int) -> Change:
    return lambda answer: answer.with_headers(**{f"X_Own_{number}": "x" for number in range(count)})


def _framed(framing: str) -> Change:
    return lambda answer: replace(answer.with_headers(Content_Length=None), framing=framing)


def _cut(answer: Answer) -> Answer:
    return replace(_framed("close")(answer), body=answer.body[: len(answer.body) // 2])


def _list(body: bytes, following: str = "") -> Change:
    """Makes a bend answer a list of referrers."""
    link = (("Link", f'<{following}>; rel="next"'),) if following else ()
    return lambda _: Answer(200, (("Content-Type", spec.INDEX), *link), body)


def _informed(*codes: int) -> Change:
    """Makes a bend send answers before the answer."""
    return lambda answer: replace(answer, informing=codes)


def _twice(*names: str) -> Change:
    """Makes a bend send headers twice."""
    return lambda answer: replace(
        answer, headers=(*answer.headers, *(header for header in answer.headers if header[0].lower() in names))
    )


def _body(content: bytes, **changed: str | None) -> Change:
    """Makes a bend put something into an answer that has no need of it."""
    return lambda answer: replace(answer, body=content).with_headers(**{"Content_Length": None, **changed})


def _old(answer: Answer) -> Answer:
    return replace(answer, version="1.0").with_headers(Connection="close")


def _led(code: int, methods: str, path: str, name: str) -> Way:
    """Sends each such request elsewhere first: to the same path, which then knows it by its query."""
    return Way(f"{code} for {name}", (lambda registry: registry.redirect_once(code, methods, path),))


_WRITES = {
    "POST": ("POST", UPLOADS),
    "PATCH": ("PATCH", UPLOADS),
    "PUT of a blob": ("PUT", UPLOADS),
    "PUT of a manifest": ("PUT", MANIFESTS),
}
_LOOKS = {"HEAD": ("HEAD", BLOBS), "GET of a manifest": ("GET", MANIFESTS)}
_WRONG = "sha256:" + "a" * 64
_PAGE = Answer(200, (("Content-Type", "text/html"),), b"<html><title>Welcome</title></html>")

NUMBERS = [
    *(
        one
        for name, (method, path) in _WRITES.items()
        for one in _each((200, 201, 202, 203, 204), f"{{}} to {name}", method, path, status)
    ),
    *_each((205, 206, 207, 226, 299, 300, 304), "{} to PATCH", "PATCH", UPLOADS, status),
    *_each((205, 206, 207, 226, 299, 300, 304), "{} to PUT of a manifest", "PUT", MANIFESTS, status),
    *_each((202, 203, 204), "{} to HEAD of what is there", "HEAD", BLOBS, _instead_of(200)),
    *_each(
        (400, 401, 403, 405, 410, 416, 500, 501), "{} to HEAD of what is not there", "HEAD", BLOBS, _instead_of(404)
    ),
]

PLACES = [
    way("Location without host", "POST|PATCH", UPLOADS, _location(on_path)),
    way(
        "Location above the path",
        "POST|PATCH",
        UPLOADS,
        _location(partial(re.sub, r"^.*/blobs/uploads/", "../uploads/")),
    ),
    way("Location beside the path", "POST", UPLOADS, _location(partial(re.sub, r"^.*/blobs/uploads/", ""))),
    way("Location without scheme", "POST|PATCH", UPLOADS, _location(lambda url: url.removeprefix("http:"))),
    way("Location with a query of its own", "POST|PATCH", UPLOADS, _query("part=1&empty=&plus=a%2Bb%20c")),
    way("Location with an open query", "POST|PATCH", UPLOADS, _query("")),
    way("Location with a fragment", "POST|PATCH", UPLOADS, _location(lambda url: url + "#here")),
    way("Location in capital letters", "POST|PATCH", UPLOADS, _location(lambda url: url.replace("http:", "HTTP:"))),
    way("Location with spaces around", "POST|PATCH", UPLOADS, _location(lambda url: f"  {url}  ")),
    way(
        "Location at another name", "POST|PATCH", UPLOADS, _location(lambda url: url.replace("127.0.0.1", "localhost"))
    ),
    way("Location within", "POST|PATCH", UPLOADS, _location(partial(re.sub, r"//[^/]*", "//127.0.0.1:9"))),
    way("Location without its port", "POST|PATCH", UPLOADS, _location(partial(re.sub, r":[0-9]+/", "/"))),
    way("Location twice", "POST|PATCH|PUT", "/v2/", _twice("location")),
    way("Location with an empty digest", "POST|PATCH", UPLOADS, _query("digest=")),
    way("no Location after the bytes", "PATCH", UPLOADS, headers(Location=None)),
    way("an empty Location after the bytes", "PATCH", UPLOADS, headers(Location="")),
    way("no Location of a blob", "PUT", UPLOADS, headers(Location=None)),
    way("no Location of a manifest", "PUT", MANIFESTS, headers(Location=None)),
    way("Location of a blob elsewhere", "PUT", UPLOADS, headers(Location="https://storage.invalid/blob")),
    way("Location of a manifest elsewhere", "PUT", MANIFESTS, headers(Location="https://storage.invalid/x")),
    *(_led(code, *asked, name) for code in (301, 302, 303, 307, 308) for name, asked in (_WRITES | _LOOKS).items()),
]

HEADERS = [
    way("no Docker-Upload-UUID", ".*", UPLOADS, headers(Docker_Upload_UUID=None)),
    way("no Range", ".*", UPLOADS, headers(Range=None)),
    way("a Range that says nothing", ".*", UPLOADS, headers(Range="bytes")),
    way("no Docker-Content-Digest", ".*", ALL, headers(Docker_Content_Digest=None)),
    way("an empty Docker-Content-Digest", ".*", ALL, headers(Docker_Content_Digest="")),
    way("a digest of a new algorithm", ".*", ALL, headers(Docker_Content_Digest="blake3:" + "a" * 64)),
    way("a digest in capital letters", ".*", ALL, _digest_in_capital_letters),
    way("a digest that is none", ".*", ALL, headers(Docker_Content_Digest="none")),
    way("a wrong digest of a manifest", "PUT", MANIFESTS, headers(Docker_Content_Digest=_WRONG)),
    way("a wrong digest of what is read", "GET|HEAD", MANIFESTS, headers(Docker_Content_Digest=_WRONG)),
    way("an ETag instead of a digest", ".*", ALL, headers(Docker_Content_Digest=None, ETag='W/"1"')),
    way("no version of the API", ".*", "/v2/", headers(Docker_Distribution_API_Version=None)),
    way("headers in small letters", ".*", "/v2/", _in_small_letters),
    way("charset", "GET|HEAD", MANIFESTS, _media_type(lambda kind: f"{kind}; charset=utf-8")),
    way("charset without space", "GET|HEAD", MANIFESTS, _media_type(lambda kind: f"{kind};charset=UTF-8")),
    way("a media type in capital letters", "GET|HEAD", MANIFESTS, _media_type(str.upper)),
    way("no media type", "GET|HEAD", MANIFESTS, headers(Content_Type=None)),
    way("application/json", "GET|HEAD", MANIFESTS, headers(Content_Type="application/json")),
    way("text/plain", "GET|HEAD", MANIFESTS, headers(Content_Type="text/plain; charset=utf-8")),
    way("application/octet-stream", "GET|HEAD", MANIFESTS, headers(Content_Type="application/octet-stream")),
    way("no length to HEAD", "HEAD", ALL, _framed("none")),
    way("length 0 to HEAD", "HEAD", ALL, headers(Content_Length="0")),
    way("cookies", ".*", "/v2/", headers(Set_Cookie="session=1; Path=/; HttpOnly")),
    way("answers in chunks", "GET", ALL, _framed("chunks")),
    way("answers until it closes", "GET", ALL, _framed("close")),
    way("it closes after each answer", ".*", "/v2/", headers(Connection="close")),
    way("zipped manifests", "GET", MANIFESTS, _zipped),
    way("a least length of chunks", "POST", UPLOADS, headers(OCI_Chunk_Min_Length=str(5 * MIB))),
    way("a least length of chunks that is none", "POST", UPLOADS, headers(OCI_Chunk_Min_Length="5 MiB")),
    way("Early Hints", ".*", "/v2/", _informed(103)),
    way("Processing before the bytes are kept", "PATCH|PUT", "/v2/", _informed(102, 102)),
    way("HTTP 1.0", ".*", "/v2/", _old),
    way("headers twice", ".*", "/v2/", _twice("docker-content-digest", "content-type", "range")),
    way("no end of answers to writes", "POST|PATCH|PUT|DELETE", "/v2/", _framed("none")),
    way("words to writes", "POST|PATCH|PUT", "/v2/", _body(b"fine", Content_Type="text/plain")),
    way("less than announced to writes", "POST|PATCH|PUT", "/v2/", headers(Content_Length="10", Connection="close")),
    way("words to writes that are not zipped", "POST|PATCH|PUT", "/v2/", _body(b"fine", Content_Encoding="gzip")),
    way("warnings", ".*", ALL, headers(Warning='299 - "deprecated"')),
    way("300 cookies first", ".*", "/v2/", _before("Set-Cookie", *(f"a{number}=1; Path=/" for number in range(300)))),
    way("150 headers of its own", ".*", "/v2/", _headers_of_its_own(150)),
    way("a header of 200 KiB", ".*", "/v2/", _before("X-Policy", "x" * (200 << 10))),
    way("a header of 90 KiB in lines", ".*", "/v2/", _before("X-Policy", "\r\n\t".join(90 * ["x" * 1024]))),
]

_PASSING = (400, 401, 403, 404, 408, 409, 412, 416, 425, 429, 499, 500, 502, 503, 504, 520)
ONCE = [
    *(
        one
        for name, (method, path) in (_WRITES | _LOOKS).items()
        for one in _each(_PASSING, f"{{}} once to {name}", method, path, _once, asks=False, times=1)
    ),
    *_each(
        (400, 404, 408, 499, 500, 502, 503, 504),
        "{} once to a blob that is kept all the same",
        "PUT",
        UPLOADS,
        _once,
        times=1,
    ),
    *_each(
        (408, 499, 500, 502, 503, 504),
        "{} once to a manifest that is kept all the same",
        "PUT",
        MANIFESTS,
        _once,
        times=1,
    ),
    way("429 with a time", "POST", UPLOADS, error(429, message="slow down", Retry_After="1"), asks=False, times=1),
    way("503 with a time", "PATCH", UPLOADS, error(503, message="slow down", Retry_After="1"), asks=False, times=1),
]

ALWAYS = [
    *_each((400, 403, 404, 405, 501), "{} to each HEAD of a blob", "HEAD", BLOBS, error, asks=False),
    *_each((400, 403, 404, 405, 501), "{} to each HEAD of a manifest", "HEAD", MANIFESTS, error, asks=False),
    *_each((400, 401, 403, 404, 405, 415, 500, 501), "{} to each mount", "POST", MOUNTS, error, asks=False),
    *_each(
        (404, 405, 415, 501), "{} to each PATCH", "PATCH", UPLOADS, lambda code: error(code, "UNSUPPORTED"), asks=False
    ),
    *_each((202, 400, 401, 403, 404, 405, 500), "{} to DELETE", "DELETE", "/v2/", error, asks=False),
    *_each((200, 201, 204, 401, 403, 404, 405, 500), "{} to the greeting", "GET", GREETING, error, asks=False),
    *_each((400, 401, 405, 406, 410, 500, 501), "{} to GET of what is not there", "GET", MANIFESTS, _instead_of(404)),
    *_each((401, 403, 410), "{} to any question for what is not there", "GET|HEAD", MANIFESTS, _instead_of(404)),
    way("a greeting that is a page", "GET", GREETING, lambda _: _PAGE, asks=False),
    *_each(
        (200, 204, 301, 400, 401, 403, 404, 405, 406, 500, 503), "{} to referrers", "GET", REFERRERS, error, asks=False
    ),
]

_EMPTY = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
_LISTS = (_EMPTY, b'{"schemaVersion":2,"manifests":null}', b"{}", b"[]", b"", b"null")
LISTS = [
    *(
        way(f"list {number} of no referrers", "GET", REFERRERS, _list(body), asks=False)
        for number, body in enumerate(_LISTS, 1)
    ),
    way("pages of referrers without end", "GET", REFERRERS, _list(_EMPTY, "?again=1"), asks=False),
    way("pages of referrers elsewhere", "GET", REFERRERS, _list(_EMPTY, "http://elsewhere.invalid/"), asks=False),
]

_READ_ONCE = (400, 401, 403, 404, 416, 429, 499, 500, 503, 520)
READING = [
    *_each((201, 203, 206), "{} to GET of a blob", "GET", BLOBS, _instead_of(200)),
    *_each((201, 203, 204, 206, 226, 304, 600), "{} to GET of a manifest", "GET", MANIFESTS, _instead_of(200)),
    *(_led(code, "GET", BLOBS, "GET of a blob") for code in (301, 302, 303, 307, 308)),
    *_each(_READ_ONCE, "{} once to GET of a blob", "GET", BLOBS, _once, asks=False, times=1),
    *_each(_READ_ONCE, "{} once to GET of a manifest", "GET", MANIFESTS, _once, asks=False, times=1),
    way("blobs without length", "GET", BLOBS, _framed("close")),
    way("blobs in chunks", "GET", BLOBS, _framed("chunks")),
    way("a media type of text for a blob", "GET", BLOBS, headers(Content_Type="text/html; charset=utf-8")),
    way("a wrong range of a blob", "GET", BLOBS, headers(Content_Range="bytes 5-9/10")),
    way("a blob without length that is cut once", "GET", BLOBS, _cut, times=1),
    *_each(
        (400, 405, 409, 412, 416, 418, 451, 501, 502, 520), "{} to each GET of a blob", "GET", BLOBS, error, asks=False
    ),
    *_each((404, 410), "{} to each GET of a blob", "GET", BLOBS, error, asks=False),
    *_each((404, 410), "{} to each question for a blob, which is gone", "GET|HEAD", BLOBS, error, asks=False),
]


def _has(told: str) -> Change:
    """Makes a bend say how much of an upload is there; the number that is so stands for `{}`."""

    def changed(answer: Answer) -> Answer:
        last = _header(answer, "Range").rpartition("-")[2]
        return answer.with_headers(Range=told.format(last, int(last or 0) + 1, int(last or 0) - 1000))

    return changed


def _broken(name: str, *bends: tuple[str, str, Change], **options: object) -> Way:
    """Makes a way of a connection that breaks in the middle of a layer, and of what is said after that."""

    def broken(registry: BentRegistry) -> None:
        registry.reset(after=MIB, least=MIB, method="PATCH", path=UPLOADS)
        for methods, path, change in bends:
            registry.bend(methods, path, change, **options)

    return Way(f"a break, then {name}", (broken,))


_SAID = ("", "bytes", "{0}", "-", "0-", "bytes=0-{0}", "bytes=0-{1}", "Bytes=0-{0}", "bytes 0-{0}/*", "0-{1}", "0-{2}")
BROKEN = [
    _broken("nothing else"),
    *(_broken(f"Range {told!r}", ("GET", UPLOADS, _has(told))) for told in (*_SAID, "0-99999999", "0--1", "x-y")),
    _broken("no Range", ("GET", UPLOADS, headers(Range=None))),
    _broken("no Location", ("GET", UPLOADS, headers(Location=None))),
    _broken("a Location elsewhere", ("GET", UPLOADS, headers(Location="https://storage.invalid/v2/x/blobs/uploads/x"))),
    *(_broken(f"{code}", ("GET", UPLOADS, status(code))) for code in (200, 201, 202, 206, 304)),
    *(
        _broken(f"{code} to it", ("GET", UPLOADS, error(code)), asks=False)
        for code in (401, 403, 404, 405, 410, 416, 500)
    ),
    *(
        _broken(f"{code} once", ("GET", UPLOADS, _page(code)), asks=False, times=1)
        for code in (408, 429, 502, 503, 524)
    ),
    *(
        _broken(f"{code} to what follows", ("PATCH", UPLOADS, error(code)), asks=False, resumes=True)
        for code in (400, 404, 405, 409, 411, 416, 500, 503)
    ),
    *(
        _broken(f"{code} to what follows once", ("PATCH", UPLOADS, _page(code)), asks=False, resumes=True, times=1)
        for code in (400, 404, 408, 416, 429, 502, 503)
    ),
]

_GATEWAYS = (408, 502, 507, 521, 522, 523, 524, 525, 526, 530)
PAGES = [
    one
    for name, (method, path) in (_WRITES | _LOOKS).items()
    for one in _each(_GATEWAYS, f"a page with {{}} once to {name}", method, path, _page, asks=False, times=1)
]

_ODD = (
    202,
    204,
    205,
    206,
    207,
    226,
    300,
    301,
    302,
    304,
    305,
    402,
    405,
    406,
    407,
    411,
    413,
    415,
    418,
    421,
    422,
    423,
    424,
    426,
)
ODD = [
    *_each(
        (*_ODD, 428, 431, 451, 501, 505, 508, 511, 600, 799),
        "{} once to GET of a manifest, bare",
        "GET",
        MANIFESTS,
        lambda code: lambda _: Answer(code),
        asks=False,
        times=1,
    ),
]

MOUNTING = [
    *_each((200, 202, 203, 204, 206, 301, 302, 304), "{} to a mount that is done", "POST", MOUNTS, status),
    *_each((307, 308), "{} to a mount", "POST", MOUNTS, error, asks=False),
    way("no Location of what is mounted", "POST", MOUNTS, headers(Location=None)),
    way("no digest of what is mounted", "POST", MOUNTS, headers(Docker_Content_Digest=None)),
    way("Location of what is mounted elsewhere", "POST", MOUNTS, headers(Location="https://storage.invalid/blob")),
    way("Location of what is mounted without host", "POST", MOUNTS, _location(on_path)),
    way("Location of what is mounted with a query", "POST", MOUNTS, _query("x=1")),
    way("an upload for a mount", "POST", MOUNTS, _as_it_is, instead=_upload_of()),
    way("an upload of another repository for a mount", "POST", MOUNTS, _as_it_is, instead=_upload_of("team/other")),
    way(
        "an upload elsewhere for a mount",
        "POST",
        MOUNTS,
        _as_it_is,
        instead=_upload_of(host="https://storage.invalid"),
    ),
    way("an upload without Location for a mount", "POST", MOUNTS, lambda _: Answer(202), asks=False),
    way("a mount that only seems done", "POST", MOUNTS, lambda _: Answer(201), asks=False),
    *_each(_PASSING, "{} once to a mount", "POST", MOUNTS, _once, asks=False, times=1),
]

TO = [*NUMBERS, *PLACES, *HEADERS, *ONCE, *PAGES, *ODD, *ALWAYS, *LISTS]
FROM = [*HEADERS, *ALWAYS, *LISTS, *READING, *ODD]
