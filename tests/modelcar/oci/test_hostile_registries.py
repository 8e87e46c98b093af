"""Registries that lie, and words that parsers meet: each ends in one named error, in bounded time and memory."""

import base64
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelcar.cluster.task import TaskConfig
from modelcar.errors import BuildError, CredentialsError, ModelcarError, PlanError, RegistryError
from modelcar.image.base_image import open_base_image
from modelcar.oci import challenge, credentials, error_format, registry, session, spec
from modelcar.oci.capabilities import capabilities_of
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.upload import Upload
from modelcar.records.step_record import last_error, recorded, records_in
from modelcar.retries import ATTEMPTS, read_retry_after
from modelcar.steps.mirror import MAX_MANIFESTS, mirror
from modelcar.steps.preflight.request import RunRequest
from tests.parts.answers import unsent

Answers = Callable[[BaseHTTPRequestHandler], None]
_quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """Gives the host of a registry that answers everything but a greeting in its own way."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                answers(self)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def answer(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def endless(request: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    while True:
        request.wfile.write(b" " * (1 << 16))


def after_greeting(then: Answers) -> Answers:
    return lambda request: answer(request, 200) if request.path == "/v2/" else then(request)


def opened(host: str) -> Repository:
    return Repository(Reference.parse(f"{host}/team/model:1"), push=True)


ENDLESS: dict[str, Answers] = {
    "greeting": lambda request: endless(request, 200),
    "manifest": after_greeting(lambda request: endless(request, 200, Content_Type=spec.MANIFEST)),
    "error": after_greeting(lambda request: endless(request, 500 if request.path.endswith("x") else 400)),
    "redirect": after_greeting(lambda request: endless(request, 307, Location="/v2/elsewhere")),
    "token": lambda request: (
        answer(request, 401, WWW_Authenticate=f'Bearer realm="http://{request.headers["Host"]}/token"')
        if request.path == "/v2/"
        else endless(request, 200)
    ),
}


@pytest.mark.parametrize("where", ENDLESS)
def test_no_answer_is_read_without_end(where: str, waits: list[float]) -> None:
    tracemalloc.start()
    try:
        with answering(ENDLESS[where]) as host, opened(host) as repository, pytest.raises(RegistryError) as raised:
            repository.manifest("1")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert len(str(raised.value)) < 2000


def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setattr(session, "ANSWER_SECONDS", 0.3)

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(400)
        request.end_headers()
        for _ in range(200):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.05)

    with answering(after_greeting(drip)) as host, opened(host) as repository, pytest.raises(RegistryError):
        repository.check_push()


def test_a_config_without_end_is_not_kept(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_SMALL_BLOB_BYTES", 1 << 20)
    endlessly = after_greeting(lambda request: endless(request, 200))
    said = "answers with more than 1048576 bytes"
    with answering(endlessly) as host, opened(host) as repository, pytest.raises(RegistryError, match=said):
        repository.small_blob(f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "location",
    [
        "/v2/again",
        "http://[",
        "http://[::1",
        "gopher://x/",
        "http://a\u00ad.\u00ff/",
        "http://" + "a" * 300,
        "//",
        "http:",
    ],
)
def test_redirects_that_lead_nowhere_are_named(location: str, waits: list[float]) -> None:
    redirecting = after_greeting(lambda request: answer(request, 307, Location=location))
    with answering(redirecting) as host, opened(host) as repository, pytest.raises(RegistryError):
        repository.manifest("1")


def test_a_loop_of_redirects_ends_at_once(waits: list[float]) -> None:
    seen: list[str] = []

    def loop(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.path)
        answer(request, 307, Location="/v2/again")

    said = "redirects us more than 10 times"
    with answering(after_greeting(loop)) as host, opened(host) as repository, pytest.raises(RegistryError, match=said):
        repository.manifest("1")
    assert len(seen) <= session.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "challenge",
    [
        *('Bearer realm="http://["', 'Bearer realm="https://[/"', "Bearer", "Bearer realm", "Bearer realm=", 'Basic "'),
        *("Bearer " + "a=b," * 10_000, "Bearer " + '"' * 30_000, "x" * 60_000, "Bearer realm=http://x\u00ff/t"),
    ],
)
def test_challenges_that_mean_nothing_are_named(challenge: str, waits: list[float]) -> None:
    refusing = lambda request: answer(request, 401, WWW_Authenticate=challenge)  # noqa: E731
    with answering(refusing) as host, opened(host) as repository, pytest.raises(RegistryError) as raised:
        repository.manifest("1")
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b'{"token": 7}', b'{"token": {"a": 1}}', b'{"token": "a\\r\\nX-Secret: b"}', b'{"token": "a b"}'),
        *(b"[" * 100_000, b'{"token": null}', b'{"expires_in": "x"}'),
    ],
)
def test_a_token_that_is_none_is_named_and_not_shown(body: bytes, waits: list[float]) -> None:
    def tokens(request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/token"):
            answer(request, 200, body)
        else:
            answer(request, 401, WWW_Authenticate=f'Bearer realm="http://{request.headers["Host"]}/token"')

    said = "answered without a token"
    with answering(tokens) as host, opened(host) as repository, pytest.raises(RegistryError, match=said) as raised:
        repository.manifest("1")
    assert "X-Secret" not in str(raised.value)


def refused_at_first(codes: list[str], times: int) -> tuple[Answers, list[str]]:
    """Refuses a manifest some times by these codes; the list fills with what it was asked."""
    asked: list[str] = []

    def answers(request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        asked.append(request.command)
        if len(asked) > times:
            answer(request, 201)
        else:
            answer(
                request,
                400,
                json.dumps({"errors": [{"code": code, "message": code.lower()} for code in codes]}).encode(),
            )

    return after_greeting(answers), asked


SMALL = Stored(b'{"schemaVersion": 2}', spec.MANIFEST)


def test_a_manifest_whose_blobs_are_seen_only_later_is_written_again(waits: list[float]) -> None:
    answers, asked = refused_at_first(["DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"], 2)
    with answering(answers) as host, opened(host) as repository:
        repository.put_manifest(SMALL, "1")
    assert asked == ["PUT"] * 3


def test_a_manifest_whose_blobs_are_gone_is_given_up_with_the_remedy(waits: list[float]) -> None:
    answers, asked = refused_at_first(["MANIFEST_BLOB_UNKNOWN"], 99)
    said = "is missing a blob that the manifest names. It may have removed that meanwhile: run the same command again"
    with answering(answers) as host, opened(host) as repository, pytest.raises(RegistryError, match=said):
        repository.put_manifest(SMALL, "1")
    assert len(asked) == ATTEMPTS


def test_a_manifest_that_is_refused_for_itself_is_not_sent_again(waits: list[float]) -> None:
    answers, asked = refused_at_first(["MANIFEST_INVALID"], 99)
    with answering(answers) as host, opened(host) as repository, pytest.raises(RegistryError, match="manifest_invalid"):
        repository.put_manifest(SMALL, "1")
    assert asked == ["PUT"]


@pytest.mark.parametrize("expires", [b"NaN", b"1e400", b"-1e400", b"-5", b"0"])
def test_a_lifetime_that_is_none_lasts_no_time_or_a_day(expires: bytes) -> None:
    def tokens(request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/token"):
            answer(request, 200, b'{"token": "t", "expires_in": %b}' % expires)
        elif "Authorization" in request.headers:
            answer(request, 404)
        else:
            answer(request, 401, WWW_Authenticate=f'Bearer realm="http://{request.headers["Host"]}/token"')

    with answering(tokens) as host, opened(host) as repository:
        assert repository.find_manifest("1") is None


@pytest.mark.parametrize(
    "said", ["0-\u00b2", "0-" + "9" * 5000, "bytes=0-99999999999", "-", "x-y", "0-18", "0-" + "9" * 18]
)
def test_an_upload_that_claims_more_than_it_was_sent_is_named(said: str) -> None:
    with (
        answering(after_greeting(lambda request: answer(request, 204, Range=said))) as host,
        closing(Connection(host, "team/model")) as connection,
    ):
        scope = Scope("team/model", "pull,push")
        upload = Upload(connection, scope, "/v2/team/model/blobs/uploads/1", capabilities_of(host))
        with suppress(RegistryError):
            assert upload.find_offset() == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"null", b'{"schemaVersion": 2}', b"\xff"])
@pytest.mark.parametrize("media_type", [spec.MANIFEST, spec.INDEX, "text/html", ""])
def test_what_is_no_manifest_is_named(content: bytes, media_type: str, waits: list[float]) -> None:
    serving = after_greeting(lambda request: answer(request, 200, content, Content_Type=media_type))
    with answering(serving) as host, opened(host) as repository, pytest.raises(RegistryError):
        repository.manifest("1")


def manifest(**changes: Any) -> bytes:
    digest = spec.digest_of(b"{}")
    config = {"mediaType": spec.CONFIG, "digest": digest, "size": 2}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": spec.MANIFEST, "config": config, "layers": [], **changes}
    ).encode()


def serving(documents: dict[str, bytes], blobs: dict[str, bytes] | None = None) -> Answers:
    """Answers manifests by tag or digest."""
    named = {**documents, **{spec.digest_of(content): content for content in documents.values()}}

    def answers(request: BaseHTTPRequestHandler) -> None:
        version = request.path.rpartition("/")[2]
        if "/manifests/" in request.path and version in named:
            kind = spec.INDEX if b'"manifests"' in named[version] else spec.MANIFEST
            answer(request, 200, named[version], Content_Type=kind)
        elif "/blobs/" in request.path and version in (blobs or {}):
            answer(request, 200, (blobs or {})[version])
        else:
            answer(request, 404)

    return after_greeting(answers)


def entry(content: bytes, media_type: str = spec.MANIFEST) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": spec.digest_of(content), "size": len(content)}


def test_an_index_in_an_index_and_one_that_names_too_many_are_refused(plain_registry: Any, waits: list[float]) -> None:
    inner = json.dumps({"schemaVersion": 2, "mediaType": spec.INDEX, "manifests": []}).encode()
    nested = json.dumps({"schemaVersion": 2, "mediaType": spec.INDEX, "manifests": [entry(inner)]}).encode()
    many = json.dumps(
        {"schemaVersion": 2, "mediaType": spec.INDEX, "manifests": [entry(inner)] * (MAX_MANIFESTS + 1)}
    ).encode()
    with answering(serving({"nested": nested, "many": many, "inner": inner})) as host:
        with pytest.raises(RegistryError, match="is no manifest"):
            mirror(f"{host}/team/model:nested", f"{plain_registry.host}/hostile/nested:1")
        with pytest.raises(RegistryError, match=f"names {MAX_MANIFESTS + 1} manifests; at most {MAX_MANIFESTS}"):
            mirror(f"{host}/team/model:many", f"{plain_registry.host}/hostile/many:1")


def test_layers_that_lie_elsewhere_are_not_fetched_from_there(plain_registry: Any, waits: list[float]) -> None:
    asked: list[str] = []

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answer(request, 200, b"secret")

    with answering(elsewhere) as other:
        foreign = {
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "digest": spec.digest_of(b"secret"),
            "size": 6,
            "urls": [f"http://{other}/secret"],
        }
        with answering(serving({"1": manifest(layers=[foreign])})) as host, pytest.raises(RegistryError, match="404"):
            mirror(f"{host}/team/model:1", f"{plain_registry.host}/hostile/foreign:1")
    assert asked == []
    with Repository(Reference.parse(f"{plain_registry.host}/hostile/foreign:1")) as repository:
        assert repository.find_manifest("1") is None


@pytest.mark.parametrize(
    "config",
    [b"{}", b"[" * 50_000, b'{"architecture": "a", "os": "linux", "rootfs": {"diff_ids": ["sha256:%b"]}}' % (b"0" * 64),
     b'{"architecture": "a", "os": "linux", "rootfs": {"diff_ids": []}, "config": {"Labels": ["x"]}}'],
)  # fmt: skip
def test_a_base_image_with_a_config_of_its_own_kind_is_refused(config: bytes, waits: list[float]) -> None:
    digest = spec.digest_of(config)
    top = manifest(config={"mediaType": spec.CONFIG, "digest": digest, "size": len(config)})
    with answering(serving({"1": top}, {digest: config})) as host, pytest.raises(BuildError, match="base image"):
        open_base_image(f"{host}/team/model:1")


@_quick
@given(st.text(st.characters(max_codepoint=255), max_size=200))
@example("²")
def test_headers_are_read_or_passed_over(text: str) -> None:
    challenge.choose(challenge.parse([text]))
    assert 0 <= read_retry_after(text) < 10**10


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["errors", "message", "code", "auths", "auth", "quay.io", "username", "password", "identitytoken"]), inner, max_size=4), max_leaves=12)  # fmt: skip  # noqa: E501


@_quick
@given(_json | st.binary(max_size=80))
def test_words_of_errors_are_read_or_passed_over(body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert len(error_format.server_message(unsent(content))) <= 300


@_quick
@given(_json | st.binary(max_size=80))
@example(b"[" * 100_000)
@example({"auths": {"quay.io": {"identitytoken": {"a": 1}}}})
@example({"auths": {"quay.io": {"auth": base64.b64encode(b"\xff:\xfe").decode()}}})
def test_docker_configurations_are_read_or_named(tmp_path: Path, body: Any) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    try:
        found = credentials.read_file(file, "quay.io", "team/model")
    except CredentialsError as error:
        assert str(file) in str(error)  # noqa: PT017
        return
    assert found is None or found.entry()["auth"].isascii()


@_quick
@given(st.text(max_size=300))
@example('{"step": "build", "start": 1e999}')
@example('{"step": "build", "start": 1, "disk": [[1]]}')
@example("{" * 3000)
@example('error: \udcff\n{"step": "a", "start": 1, "failed": true}')
def test_termination_logs_are_read_whatever_is_in_them(text: str) -> None:
    for record in records_in(text):
        assert len(record.line().encode()) < 4096 + len(text)
    last_error(text)


def test_an_error_that_no_encoding_can_write_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(log))
    with pytest.raises(FileNotFoundError), recorded("build"):
        (tmp_path / "\udcff\x1b[2J").read_bytes()
    (record,) = records_in(log.read_text())
    assert record.failed
    assert record.error.isprintable()


_values = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.text(max_size=3), max_size=2)


@_quick
@given(
    st.dictionaries(st.text(max_size=8), _values, max_size=3),
    st.lists(st.dictionaries(st.text(max_size=8), _values, max_size=3) | _values, max_size=3),
    st.text(max_size=12) | st.sampled_from(["1", "500m", "1e999", "-1", "\u00b2", "$(id)", "1;rm -rf /"]),
)
def test_parameters_that_mean_nothing_are_named(selector: Any, tolerations: Any, quantity: str) -> None:
    run = RunRequest(model="a/b", node_selector=selector, tolerations=tolerations, build_cpu=quantity, claim="x")
    for mistake in run.mistakes():
        assert mistake.what
        assert mistake.verdict == "refusal"
    with suppress(PlanError):
        TaskConfig.from_parameters(node_selector=selector, tolerations=tolerations, cpu=quantity)


@_quick
@given(
    st.text(max_size=60) | st.sampled_from(["$(id)/a:b", "a.b/c;d:1", "a.b/`x`", "a.b/c d", "a.b/--x:1", "a.b/c:1\n"])
)
def test_nothing_of_a_reference_can_mean_anything_to_a_shell_or_an_url(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ModelcarError:
        return
    assert not set(str(reference)) & set(" \n\t\"'`$;&|<>(){}\\?#%*!~")
    assert not reference.repository.startswith("-")
