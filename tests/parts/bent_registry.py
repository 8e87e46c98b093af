"""A registry whose answers are bent: a real one behind a proxy that changes what is said, when, and how late.

Each bend names the requests it is meant for, and what becomes of them. So the ways of vendors' registries, which cannot
run here, are tried on an ordinary one: the storage behind it is real, and so is what is kept or lost.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import HTTPMessage
from urllib.parse import urlsplit

from modelcar.oci import spec
from tests.parts.fault_proxy import FaultProxy, Seen

Change = Callable[["Answer"], "Answer"]

MANIFESTS, BLOBS, UPLOADS, REFERRERS = r"/manifests/", r"/blobs/sha", r"/blobs/uploads/", r"/referrers/"
_LED = "led=1"
_DROPPED = ("connection", "transfer-encoding", "content-length", "keep-alive")

_FRAMES: dict[str, Callable[[int], list[str]]] = {
    "length": lambda size: [f"Content-Length: {size}"],
    "chunks": lambda _: ["Transfer-Encoding: chunked"],
    "close": lambda _: ["Connection: close"],
    "none": lambda _: [],
}


@dataclass(frozen=True)
class Answer:
    """An answer of the registry.

    Attributes:
        status: Its status.
        headers: Its headers, but those that frame its body.
        body: Its body.
        framing: How its end is told: by its `length`, in `chunks`, as the connection `close`s, or not at all (`none`).
        informing: The statuses of answers that come before it and say that more will follow.
        version: The version of HTTP that it names.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    framing: str = "length"
    informing: tuple[int, ...] = ()
    version: str = "1.1"

    def with_headers(self, **changed: str | None) -> "Answer":
        """Returns it with other headers; None takes one out."""
        names = {name.replace("_", "-"): value for name, value in changed.items()}
        gone = {name.lower() for name in names}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in gone)
        return replace(self, headers=(*kept, *((name, value) for name, value in names.items() if value is not None)))

    def encoded(self, *, bare: bool) -> bytes:
        """Returns it as it goes over the wire."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Of Its Own"
        headers = [f"{name}: {value}" for name, value in self.headers]
        # The answer to HEAD tells the length of what it does not bring.
        has_length = any(name.lower() == "content-length" for name, _ in self.headers)
        headers += [] if has_length else _FRAMES[self.framing](len(self.body))
        lines = [line for status in self.informing for line in (f"HTTP/1.1 {status} Soon", "Link: </style.css>", "")]
        head = "\r\n".join([*lines, f"HTTP/{self.version} {self.status} {phrase}", *headers, "", ""])
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.body), self.body) if self.framing == "chunks" else self.body
        return head.encode("latin-1") + (b"" if bare else body)


@dataclass
class Bend:
    """What becomes of some requests.

    Attributes:
        methods: The methods that are meant, as a regular expression.
        path: What the path, with its query, must contain; a regular expression.
        asks: Whether the registry is asked at all.
        change: What becomes of its answer; without asking, of an empty 200.
        late: Seconds after which the registry gets the request, when the answer has long been given.
        skip: How many such requests pass as they are.
        times: How many are bent; None for all.
        if_body: What the request's body must contain.
        least: Bytes that the request's body must have, at least.
        resumes: Whether it must go on with an upload (Content-Range).
        instead: Answers such a request in place of all else.
    """

    methods: str
    path: str
    change: Change
    asks: bool = True
    late: float = 0.0
    skip: int = 0
    times: int | None = None
    if_body: bytes = b""
    least: int = 0
    resumes: bool = False
    instead: Callable[[Seen], Answer] | None = None
    met: int = field(default=0, init=False)

    def may_match(self, request: Seen) -> bool:
        """Tells whether it can be meant, whatever the request's body is."""
        meant = re.fullmatch(self.methods, request.method) and re.search(self.path, request.path)
        return bool(meant) and self.times != 0 and (bool(request.content_range) or not self.resumes)

    def matches(self, request: Seen, body: bytes) -> bool:
        """Tells whether it is meant, and counts that."""
        if not self.may_match(request) or self.if_body not in body or len(body) < self.least:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.met += 1
        return True


def error(status: int, code: str = "", message: str = "", **headers: str) -> Change:
    """Makes a bend answer an error, in the specification's format if it has a code."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else message.encode()
    kind = "application/json" if code else "text/plain"
    return lambda _: Answer(status, (("Content-Type", kind),), body).with_headers(**headers)


def status(code: int) -> Change:
    """Makes a bend answer another status, and else what the registry answered."""
    return lambda answer: replace(answer, status=code)


def headers(**changed: str | None) -> Change:
    """Makes a bend change headers of the answer."""
    return lambda answer: answer.with_headers(**changed)


class BentRegistry(FaultProxy):
    """A registry, bent; from entry to exit of its context.

    Args:
        upstream: Host and port of the registry, which speaks plain HTTP.
        address: Where it listens.
    """

    def __init__(self, upstream: str, *, address: str = "127.0.0.1") -> None:
        super().__init__(upstream, address=address)
        self.registry = upstream
        self._bends: list[Bend] = []
        self._bending = threading.Lock()
        self._late: list[threading.Timer] = []

    def __exit__(self, *exception: object) -> None:
        """Stops, once what is late has been done."""
        for timer in self._late:
            timer.join()
        super().__exit__(*exception)

    def bend(self, methods: str, path: str, change: Change, **options: object) -> Bend:
        """Adds a bend; see there. Of several that are meant, the first one counts."""
        made = Bend(methods, path, change, **options)  # type: ignore[arg-type]
        self._bends.append(made)
        return made

    def lead(self, path: str, there: str) -> Bend:
        """Has what is asked of a path answered by another one."""

        def ask(request: Seen) -> Answer:
            return self._ask(replace(request, path=there), {"Accept": ", ".join((*spec.INDEXES, *spec.MANIFESTS))}, b"")

        return self.bend("GET|HEAD", path, lambda answer: answer, asks=False, instead=ask)

    def redirect_once(self, code: int, methods: str, path: str) -> Bend:
        """Sends each such request to the same place with another query, where it is done."""

        def lead(request: Seen) -> Answer:
            mark = ("&" if "?" in request.path else "?") + _LED
            return Answer(code, (("Location", f"http://{self.host}{request.path}{mark}"),))

        return self.bend(methods, rf"{path}(?!.*{_LED})", lambda answer: answer, asks=False, instead=lead)

    def answer_itself(self, request: Seen, headers: HTTPMessage, body: Iterator[bytes]) -> bytes | None:
        """Answers a request that is bent."""
        if not any(bend.may_match(request) for bend in self._bends):
            return None
        content = b"".join(body)
        with self._bending:
            meant = next((bend for bend in self._bends if bend.matches(request, content)), None)
        ask = lambda: self._ask(request, headers, content)  # noqa: E731
        if meant is None:
            answer = ask()
        elif meant.late:
            timer = threading.Timer(meant.late, ask)
            self._late.append(timer)
            timer.start()
            answer = meant.change(Answer(200))
        elif meant.instead is not None:
            answer = meant.instead(request)
        else:
            answer = meant.change(ask() if meant.asks else Answer(200))
        return answer.encoded(bare=request.method == "HEAD")

    def _ask(self, request: Seen, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.registry, timeout=60)
        sent = {name: value for name, value in headers.items() if name.lower() not in (*_DROPPED, "host")}
        connection.request(request.method, request.path, body or None, {**sent, "Host": self.registry})
        response = connection.getresponse()
        kept = [
            (name, value.replace(f"http://{self.registry}/", f"http://{self.host}/"))
            for name, value in response.getheaders()
            if name.lower() not in _DROPPED or (request.method == "HEAD" and name.lower() == "content-length")
        ]
        answer = Answer(response.status, tuple(kept), response.read())
        connection.close()
        return answer


def on_path(url: str) -> str:
    """Returns an address without its host."""
    return urlsplit(url)._replace(scheme="", netloc="").geturl()
