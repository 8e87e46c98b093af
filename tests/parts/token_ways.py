"""Ways in which registries ask for tokens and token services give them, in front of an ordinary registry.

A way need not be right, nor anybody's: what counts is that whoever meets it comes no less far than skopeo does.
"""

import base64
import gzip
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from urllib.parse import parse_qs, urlsplit

from tests.parts.bent_registry import Answer, BentRegistry
from tests.parts.fault_proxy import Seen

USERNAME, PASSWORD = "robot", "pass:word"

Offer = Callable[[str], tuple[str, ...]]
"""Makes the values of WWW-Authenticate, of the realm's address."""


def _offered(realm: str) -> tuple[str, ...]:
    return (f'Bearer realm="{realm}",service="tokens"',)


def _answered(token: str) -> Answer:
    return _document({"token": token, "expires_in": 300})


def _document(document: object, status: int = 200, kind: str = "application/json") -> Answer:
    return Answer(status, (("Content-Type", kind),), json.dumps(document).encode())


@dataclass(frozen=True)
class TokenWay:
    """A way of asking for tokens and of giving them.

    Attributes:
        name: What it is, in words.
        offer: Makes the values of WWW-Authenticate.
        answer: Makes the token service's answer, of a token.
        realm: The token service's path and query.
        uses: Requests for which a token is good; 0 for any number.
        first: What the token service answers to the first requests, before it gives a token.
        greets: Whether the greeting is let through without a token.
        scope: What a token must have been asked for, if anything; the repository's name stands for `{}`.
    """

    name: str
    offer: Offer = _offered
    answer: Callable[[str], Answer] = _answered
    realm: str = "/token"
    uses: int = 0
    first: tuple[Answer, ...] = ()
    greets: bool = False
    scope: str = ""

    def __str__(self) -> str:
        """Its name, as a test's."""
        return self.name.replace(" ", "-")


@dataclass
class _Token:
    scopes: list[str] = field(default_factory=list)
    used: int = 0


class TokenFront(BentRegistry):
    """A registry whose front asks for tokens; from entry to exit of its context.

    Args:
        upstream: Host and port of the registry.
        way: How it asks.
        address: Where it listens.
    """

    def __init__(self, upstream: str, way: TokenWay, *, address: str = "127.0.0.1") -> None:
        super().__init__(upstream, address=address)
        self._way = way
        self._tokens: dict[str, _Token] = {}
        self._first = list(way.first)
        self._lock = threading.Lock()

    def answer_itself(self, request: Seen, headers: HTTPMessage, body: Iterator[bytes]) -> bytes | None:
        """Gives tokens, and lets nobody in without."""
        given = headers.get("Authorization", "")
        if urlsplit(request.path).path == urlsplit(self._way.realm).path:
            form = b"".join(body).decode()
            return self._give(request, given, form).encoded(bare=False)
        if self._lets_in(request, given):
            return super().answer_itself(request, headers, body)
        for _ in body:
            pass
        return self._refusal(request).encoded(bare=request.method == "HEAD")

    def _give(self, request: Seen, given: str, form: str) -> Answer:
        expected = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        wanted = urlsplit(self._way.realm).query
        query = urlsplit(request.path).query
        if given != f"Basic {expected}" or wanted not in query:
            return _document({"details": "wrong credentials"}, 401)
        with self._lock:
            if self._first:
                return self._first.pop(0)
            token = secrets.token_urlsafe()
            scopes = [one for value in parse_qs(f"{query}&{form}").get("scope", []) for one in value.split()]
            self._tokens[token] = _Token(scopes)
        return self._way.answer(token)

    def _lets_in(self, request: Seen, given: str) -> bool:
        if self._way.greets and request.path == "/v2/":
            return True
        kind, _, value = given.partition(" ")
        with self._lock:
            token = self._tokens.get(value.strip())
            if kind != "Bearer" or token is None:
                return False
            if self._way.scope and request.path != "/v2/" and self._needed(request) not in token.scopes:
                return False
            token.used += 1
            return not self._way.uses or token.used <= self._way.uses

    def _needed(self, request: Seen) -> str:
        path = urlsplit(request.path).path.removeprefix("/v2/")
        for part in ("/manifests/", "/blobs/", "/referrers/"):
            path = path.partition(part)[0]
        return self._way.scope.format(path)

    def _refusal(self, request: Seen) -> Answer:
        offers = self._way.offer(f"http://{self.host}{self._way.realm}")
        if self._way.scope and request.path != "/v2/":
            offers = tuple(f'{one},scope="{self._needed(request)}",error="insufficient_scope"' for one in offers)
        refusal = _document({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}, 401)
        return replace(refusal, headers=(*refusal.headers, *(("WWW-Authenticate", one) for one in offers)))


def _way(name: str, answer: Callable[[str], object], kind: str = "application/json", status: int = 200) -> TokenWay:
    return TokenWay(name, answer=lambda token: _document(answer(token), status, kind))


def _zipped(token: str) -> Answer:
    answer = _answered(token)
    return replace(answer.with_headers(Content_Encoding="gzip"), body=gzip.compress(answer.body))


def _marked(token: str) -> Answer:
    answer = _answered(token)
    return replace(answer, body=b"\xef\xbb\xbf" + answer.body)


def _fails(status: int, **headers: str) -> tuple[Answer, ...]:
    return (Answer(status, (("Content-Type", "text/html"),), b"<h1>later</h1>").with_headers(**headers),)


ANSWERS = [
    _way("token alone", lambda token: {"token": token}),
    _way("access_token alone", lambda token: {"access_token": token}),
    _way("an empty token and access_token", lambda token: {"token": "", "access_token": token}),
    _way("no token beside access_token", lambda token: {"token": None, "access_token": token}),
    _way("a refresh_token beside", lambda token: {"token": token, "refresh_token": "other", "scope": "", "x": [1]}),
    *(
        _way(f"expires_in {value!r}", lambda token, value=value: {"token": token, "expires_in": value})
        for value in (None, 0, 1, 59, -1, 10**12, 300.5, "300", "soon", True, [300])
    ),
    *(
        _way(f"issued_at {value!r}", lambda token, value=value: {"token": token, "expires_in": 60, "issued_at": value})
        for value in (None, "", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00.123456789+02:00", "yesterday", 7)
    ),
    *(_way(f"{code} with a token", lambda token: {"token": token}, status=code) for code in (201, 202, 203, 206)),
    _way("a token as text", lambda token: {"token": token}, "text/plain"),
    _way("a token as a page", lambda token: {"token": token}, "text/html; charset=latin-1"),
    _way("a token of 12 KiB", lambda token: {"token": token, "padding": "x" * 12288}),
    TokenWay("a zipped token", answer=_zipped),
    TokenWay("a token after a byte order mark", answer=_marked),
    TokenWay("a token in chunks", answer=lambda token: replace(_answered(token), framing="chunks")),
    TokenWay("a token until it closes", answer=lambda token: replace(_answered(token), framing="close")),
]

OFFERS = [
    TokenWay("bearer in small letters", lambda realm: (f'bearer realm="{realm}",service="tokens"',)),
    TokenWay("BEARER in capital letters", lambda realm: (f'BEARER Realm="{realm}",SERVICE="tokens"',)),
    TokenWay("spaces after commas", lambda realm: (f'Bearer realm="{realm}", service="tokens", scope=""',)),
    TokenWay("spaces around signs", lambda realm: (f'Bearer realm = "{realm}" , service = "tokens"',)),
    TokenWay("no quotes", lambda realm: (f"Bearer realm={realm},service=tokens",)),
    TokenWay("no service", lambda realm: (f'Bearer realm="{realm}"',)),
    TokenWay("an empty service", lambda realm: (f'Bearer realm="{realm}",service=""',)),
    TokenWay("a service with quotes", lambda realm: (f'Bearer realm="{realm}",service="a \\"b\\", c"',)),
    TokenWay("a trailing comma", lambda realm: (f'Bearer realm="{realm}",service="tokens",',)),
    TokenWay("unknown parameters", lambda realm: (f'Bearer x="1",realm="{realm}",service="t",error="invalid_token"',)),
    TokenWay("Negotiate first", lambda realm: ("Negotiate", f'Bearer realm="{realm}",service="tokens"')),
    TokenWay("Negotiate last", lambda realm: (f'Bearer realm="{realm}",service="tokens"', "Negotiate")),
    TokenWay("Basic first", lambda realm: ('Basic realm="x"', f'Bearer realm="{realm}",service="tokens"')),
    TokenWay("Basic in the same header", lambda realm: (f'Basic realm="x", Bearer realm="{realm}",service="tokens"',)),
    TokenWay("Basic last", lambda realm: (f'Bearer realm="{realm}",service="tokens"', 'Basic realm="x"')),
    TokenWay("Digest first", lambda realm: ('Digest realm="x", nonce="a,b"', f'Bearer realm="{realm}",service="t"')),
    TokenWay("Bearer twice", lambda realm: 2 * (f'Bearer realm="{realm}",service="tokens"',)),
    TokenWay("a realm with a query", realm="/token?account_type=robot&plus=a%2Bb"),
    TokenWay("a realm with an open query", realm="/token?"),
    TokenWay("a realm below a path", realm="/auth/realms/docker-v2/auth"),
    TokenWay("a realm in capital letters", lambda realm: (f'Bearer realm="{realm.replace("http:", "HTTP:")}"',)),
    TokenWay("a realm with spaces", lambda realm: (f'Bearer realm=" {realm} ",service="tokens"',)),
    TokenWay("a realm with a fragment", lambda realm: (f'Bearer realm="{realm}#here",service="tokens"',)),
    TokenWay("a greeting without a token", greets=True),
    TokenWay("a scope that it names itself", scope="repository:mapped/{}:pull,push"),
    TokenWay("a scope with more actions", scope="repository:{}:*"),
]

MOMENTS = [
    *(TokenWay(f"tokens for {uses} requests", uses=uses) for uses in (1, 2, 3, 7)),
    *(
        TokenWay(f"{code} once for a token", first=_fails(code))
        for code in (408, 425, 429, 499, 500, 502, 503, 504, 522)
    ),
    TokenWay("429 with a time for a token", first=_fails(429, Retry_After="1")),
    TokenWay("503 three times for a token", first=3 * _fails(503)),
    *(
        TokenWay(f"{code} for a token", realm="/first", first=_fails(code, Location="/first?again=1"))
        for code in (301, 302, 303, 307, 308)
    ),
    TokenWay("a page for a token once", first=_fails(200)),
]

EVERY = [*ANSWERS, *OFFERS, *MOMENTS]
