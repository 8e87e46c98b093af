"""Registries as people meet them: each kind of answer of docs/registries.md, bent around a real docker-registry."""

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar.errors import CredentialsError, ModelcarError, RegistryError, UploadLostError, WrongBytesError
from modelcar.oci import referrers, spec, upload
from modelcar.oci.capabilities import capabilities_of
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.steps.mirror import mirror
from modelcar.steps.stream import Streamed
from tests.conftest import LogIn
from tests.modelcar.oci.conftest import MODEL, SOURCE
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
    status,
)
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry, Registry, TokenAuthRegistry
from tests.parts.signing_keys import write_keys
from tests.parts.skopeo.program import run_skopeo
from tests.parts.steps import stream

pytestmark = pytest.mark.usefixtures("with_served")

NOBODY = "http://127.0.0.1:9/token"
"""Token service that nobody reaches."""

LARGE = 500_000
"""Bytes that only the shards' uploads have."""


@pytest.fixture
def bent(plain_registry: Registry) -> Iterator[BentRegistry]:
    with BentRegistry(plain_registry.host) as bent:
        yield bent


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """Give a repository that no other test writes to."""
    return "bent/" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")[
        :100
    ].replace("--", "-").strip("-")


Run = Callable[..., Streamed]


@pytest.fixture
def run(bent: BentRegistry, repository: str, expected: str) -> Run:
    """Give a function that streams the model into the bent registry, and looks in the real one that it is there."""

    def streamed(tag: str = "1", **options: Any) -> Streamed:
        done = stream(MODEL, f"{bent.host}/{repository}:{tag}", **options)
        assert done.image.digest == expected
        seen = requests.get(
            f"http://{bent.registry}/v2/{repository}/manifests/{tag}", headers={"Accept": spec.INDEX}, timeout=600
        )
        assert seen.headers["Docker-Content-Digest"] == expected
        return done

    return streamed


def skopeo_copies(bent: BentRegistry, repository: str) -> bool:
    """Tell whether skopeo brings the image, which is in the real registry, into the bent one: the bar."""
    tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    source, target = f"docker://{bent.registry}/{SOURCE}:1", f"docker://{bent.host}/{repository}/by-skopeo:1"
    return run_skopeo("copy", "-q", "--all", "--preserve-digests", *tls, source, target).returncode == 0


class TestSuccess:
    """Answers that mean success, whatever their number."""

    @pytest.mark.parametrize("code", [200, 201, 204])
    def test_bytes_are_taken(self, code: int, bent: BentRegistry, run: Run, repository: str) -> None:
        """ECR answers 201 to PATCH."""
        bend = bent.bend("PATCH", UPLOADS, status(code))

        run()

        assert bend.met
        assert skopeo_copies(bent, repository)

    @pytest.mark.parametrize("code", [200, 201])
    def test_upload_is_begun(self, code: int, bent: BentRegistry, run: Run) -> None:
        bend = bent.bend("POST", UPLOADS, status(code))

        run()

        assert bend.met

    @pytest.mark.parametrize("code", [200, 202, 204])
    def test_blob_is_kept(self, code: int, bent: BentRegistry, run: Run) -> None:
        bend = bent.bend("PUT", UPLOADS, status(code))

        run()

        assert bend.met

    @pytest.mark.parametrize("code", [200, 202, 204])
    def test_manifest_is_kept(self, code: int, bent: BentRegistry, run: Run) -> None:
        bend = bent.bend("PUT", MANIFESTS, status(code))

        run()

        assert bend.met

    def test_mount_that_is_answered_as_an_upload(self, bent: BentRegistry, expected: str, repository: str) -> None:
        """Some answer 201 to every POST; nothing was mounted."""
        bent.bend(
            "POST", "mount=", lambda _: Answer(201, (("Location", f"/v2/{repository}/blobs/uploads/x"),)), asks=False
        )
        bent.bend("DELETE", "/blobs/uploads/x", error(404), asks=False)

        done = mirror(f"{bent.host}/{SOURCE}:1", f"{bent.host}/{repository}:1")

        assert done.image.digest == expected
        assert done.copied_bytes > LARGE


class TestLoss:
    """Uploads that a registry has lost between two requests, and those that it never goes on with."""

    @pytest.mark.parametrize("code", [400, 404, 409, 410, 412, 416, 422])
    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    def test_upload_is_begun_anew(
        self, method: str, code: int, bent: BentRegistry, run: Run, waits: list[float]
    ) -> None:
        bend = bent.bend(method, UPLOADS, error(code, "BLOB_UPLOAD_UNKNOWN", "upload unknown"), asks=False, times=2)

        run()

        assert bend.met == 2

    @pytest.mark.parametrize("code", [400, 404, 500])
    def test_location_is_not_known_from_the_start(
        self, code: int, bent: BentRegistry, run: Run, waits: list[float]
    ) -> None:
        """Without words of the specification, as from a front with several registries behind it."""
        bent.bend("PATCH", UPLOADS, error(code, message="no such upload"), asks=False, times=3)

        run()

    def test_what_is_lost_each_time_is_named_in_the_end(
        self, bent: BentRegistry, repository: str, waits: list[float]
    ) -> None:
        bend = bent.bend("PATCH", UPLOADS, error(404, "BLOB_UPLOAD_UNKNOWN", "never heard of it"), asks=False)

        with pytest.raises(RegistryError, match=r"404 .*never heard of it.*begun anew several times"):
            stream(MODEL, f"{bent.host}/{repository}:1")

        assert bend.met <= 4 * 8

    def test_resumed_upload_that_is_thrown_away(self, bent: BentRegistry, run: Run, waits: list[float]) -> None:
        """ECR answers 201 to the rest of an upload, and in the end has none of it."""
        broken = bent.bend("PATCH", UPLOADS, error(503), asks=False, times=1, least=LARGE)
        held = lambda _: Answer(204, (("Range", f"0-{LARGE - 1}"),))  # noqa: E731
        bent.bend("GET", UPLOADS, held, asks=False, times=2)
        resumed = bent.bend("PATCH", UPLOADS, status(201), asks=False, times=1, resumes=True)

        run()

        assert broken.met == resumed.met == 1
        assert capabilities_of(bent.host).resumes is False

    def test_refusal_of_a_blob_is_no_loss(self, bent: BentRegistry, repository: str, waits: list[float]) -> None:
        bend = bent.bend("PATCH", UPLOADS, error(400, "SIZE_INVALID", "layer is too large for us"), asks=False)

        with pytest.raises(RegistryError, match="layer is too large for us"):
            stream(MODEL, f"{bent.host}/{repository}:1")

        assert bend.met <= 8

    def test_progress_counts_no_byte_twice(
        self, bent: BentRegistry, run: Run, waits: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run()
        undisturbed = capsys.readouterr().out.partition("stream: ")[2].split(" in ")[0]
        bent.bend("PUT", UPLOADS, error(404, "BLOB_UPLOAD_UNKNOWN"), asks=False, times=4)
        capabilities_of(bent.host)
        stream(MODEL, f"{bent.host}/bent/counted-anew:1")

        assert capsys.readouterr().out.partition("stream: ")[2].split(" in ")[0] == undisturbed


class TestLate:
    """Answers that come before the registry is done."""

    @pytest.mark.parametrize("code", [408, 499, 500, 502, 503, 504, 520, 524, 530, 598])
    def test_gateway_gives_up_while_the_registry_still_commits(
        self, code: int, bent: BentRegistry, run: Run, repository: str
    ) -> None:
        bend = bent.bend("PUT", UPLOADS, error(code, message="gave up"), late=1.5, times=3)

        run()

        assert bend.met == 3

    def test_our_own_patience_ends_first(self, bent: BentRegistry, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload, "WRITE_SECONDS", 0.5)
        monkeypatch.setattr(upload.Upload, "patience_after", lambda _, error: 20.0 if error else 0.5)
        bent.delay(3, method="PUT", path="/blobs/uploads/", times=2)

        run()

    def test_patience_grows_with_the_size(self) -> None:
        made = upload.Upload(None, None, "", capabilities_of("x.invalid"))  # type: ignore[arg-type]
        small = made.patience_after(None)
        made.offset = 15 * 10**9
        assert made.patience_after(None) - small == pytest.approx(1500)
        assert small >= 60

    def test_what_never_comes_is_begun_anew_and_then_named(
        self, bent: BentRegistry, repository: str, waits: list[float]
    ) -> None:
        bent.bend("PUT", UPLOADS, error(504, message="upstream timed out"), asks=False)

        with pytest.raises(RegistryError, match=r"504 .*upstream timed out"):
            stream(MODEL, f"{bent.host}/{repository}:1")

    @pytest.mark.parametrize("held", [404, 200])
    def test_tag_is_seen_late(
        self, held: int, bent: BentRegistry, repository: str, expected: str, plain_registry: Registry
    ) -> None:
        """Azure's replicas show what was there before, or nothing, for some seconds."""
        target = f"{bent.host}/{repository}:1"
        if held == 200:
            stream(MODEL, target, exclude=["README.md"])
        path = f"http://{bent.registry}/v2/{repository}/manifests/1"
        before = requests.get(path, headers={"Accept": f"{spec.INDEX}, {spec.MANIFEST}"}, timeout=600)
        shown = Answer(before.status_code, (("Content-Type", before.headers["Content-Type"]),), before.content)
        written = bent.bend("PUT", r"/manifests/1$", lambda answer: answer)
        late = bent.bend("GET", r"/manifests/1$", lambda _: shown, asks=False, times=0)
        bent.arrived = lambda: setattr(late, "times", 3) if written.met and not late.met else None

        done = stream(MODEL, target, if_exists="replace")

        assert done.image.digest == expected
        assert late.met == 3

    def test_tag_that_another_wrote_is_named(self, bent: BentRegistry, repository: str, waits: list[float]) -> None:
        other = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % spec.INDEX.encode()
        written = bent.bend("PUT", r"/manifests/1$", lambda answer: answer)
        foreign = bent.bend("GET", r"/manifests/1$", lambda _: Answer(200, (("Content-Type", spec.INDEX),), other), asks=False, times=0)  # fmt: skip  # noqa: E501
        bent.arrived = lambda: setattr(foreign, "times", None) if written.met else None

        with pytest.raises(WrongBytesError, match="Did another run write this tag"):
            stream(MODEL, f"{bent.host}/{repository}:1")

    @pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"])
    def test_blobs_are_seen_late(self, code: str, bent: BentRegistry, run: Run, waits: list[float]) -> None:
        bend = bent.bend("PUT", MANIFESTS, error(404, code, "blob unknown"), asks=False, times=3)

        run()

        assert bend.met == 3


class TestRefusal:
    """Refusals, which carry the registry's own words."""

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (error(403, "DENIED", "the quota of 10 GiB is used up, 2 GiB more were asked for"), "quota of 10 GiB"),
            (error(401, "UNAUTHORIZED", "robot token has expired"), "robot token has expired.*login"),
            (error(403, "DENIED", "repository is archived"), "repository is archived"),
            (error(403, message="<html><title>Blocked by policy 7</title></html>"), "Blocked by policy 7"),
            (
                lambda _: Answer(403, (("Content-Type", "application/json"),), b'{"message": "storage frozen"}'),
                "storage frozen",
            ),
            (
                lambda _: Answer(403, (("Content-Type", "application/problem+json"),), b'{"detail": "seat missing"}'),
                "seat missing",
            ),
        ],
    )
    @pytest.mark.parametrize("moment", ["POST", "PATCH", "PUT"])
    def test_words_are_passed_on(
        self, answer: Change, words: str, moment: str, bent: BentRegistry, repository: str, waits: list[float]
    ) -> None:
        bent.bend(moment, UPLOADS, answer, asks=False)

        with pytest.raises(RegistryError, match=words) as raised:
            stream(MODEL, f"{bent.host}/{repository}:1")

        assert "check the password" not in str(raised.value).lower()

    def test_words_are_cleaned(
        self, basic_registry: BasicAuthRegistry, repository: str, log_in: LogIn, isolated: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(isolated / "auth.json"))
        with BentRegistry(basic_registry.host) as bent:
            auths = {bent.host: basic_registry.auth_entry()}
            (isolated / "auth.json").write_text(json.dumps({"auths": auths}))
            told = f"\x1b[2Jquota\nof {basic_registry.password} is used up"
            bent.bend("POST", UPLOADS, error(403, "DENIED", told), asks=False)

            with pytest.raises(CredentialsError, match="quota of … is used up") as raised:
                stream(MODEL, f"{bent.host}/{repository}:1")

        assert str(raised.value).isprintable()
        assert str(basic_registry.password) not in str(raised.value)

    def test_missing_repository_names_the_remedy(self, bent: BentRegistry, repository: str) -> None:
        """ECR makes no repository by itself."""
        bent.bend("POST", UPLOADS, error(404, "NAME_UNKNOWN", "The repository does not exist"), asks=False)

        with pytest.raises(RegistryError, match=f"does not exist.*Create the repository {repository}"):
            stream(MODEL, f"{bent.host}/{repository}:1")

    @pytest.mark.parametrize("code", [425, 429, 499, 507, 520, 522, 525, 527, 530])
    @pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "HEAD", "GET"])
    def test_what_passes_is_tried_again(
        self, method: str, code: int, bent: BentRegistry, run: Run, waits: list[float]
    ) -> None:
        bent.bend(method, "/v2/bent/", error(code, message="later"), asks=False, times=2)

        run()

    @pytest.mark.parametrize("when", ["1.5", "300", "date"])
    def test_the_time_asked_for_is_waited(self, when: str, bent: BentRegistry, run: Run, waits: list[float]) -> None:
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True) if when == "date" else when
        bent.bend("POST", UPLOADS, error(429, "TOOMANYREQUESTS", "slow down", Retry_After=text), asks=False, times=1)

        run()

        assert max(waits) >= (1.5 if when == "1.5" else 290)

    def test_who_asks_for_hours_is_not_waited_for(
        self, bent: BentRegistry, repository: str, waits: list[float]
    ) -> None:
        bent.bend("POST", UPLOADS, error(429, "TOOMANYREQUESTS", "pull limit", Retry_After="21600"), asks=False)

        with pytest.raises(RegistryError, match="come again in 360 minutes"):
            stream(MODEL, f"{bent.host}/{repository}:1")

        assert waits == []

    @pytest.mark.parametrize("path", [r"^/v2/$", r"^/token"])
    def test_who_asks_for_hours_is_not_waited_for_either_before_a_login(
        self, path: str, bent: BentRegistry, waits: list[float]
    ) -> None:
        bent.bend("GET", path, error(429, "TOOMANYREQUESTS", "later", Retry_After="21600"), asks=False)
        challenge = f'Bearer realm="http://{bent.host}/token",service="s"'
        bent.bend("GET", "/v2/", error(401, "UNAUTHORIZED", WWW_Authenticate=challenge), asks=False)

        with (
            Repository(Reference.parse(f"{bent.host}/bent/hours:1")) as repository,
            pytest.raises(RegistryError, match="come again in 360 minutes"),
        ):
            repository.manifest("1")

        assert waits == []


class TestNotes:
    """Registries in which finished layers cannot be noted."""

    @pytest.mark.parametrize("code", [400, 403, 405, 409, 412, 500])
    @pytest.mark.parametrize("first", [0, 1])
    def test_run_goes_on_without(
        self,
        first: int,
        code: int,
        bent: BentRegistry,
        run: Run,
        waits: list[float],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Immutable tags: ECR 400, Artifactory 403, Azure 405, Quay 409, Harbor 412."""
        refused = error(code, "TAG_INVALID", "the tag is immutable")
        bent.bend("PUT", r"/manifests/.*\.partial", refused, asks=False, skip=first)
        bent.bend("DELETE", MANIFESTS, error(405, "UNSUPPORTED"), asks=False)

        run()

        said = capsys.readouterr().out
        if first == 0 or ".partial" in said:
            assert said.count("keeps no note of finished layers") == 1
            assert "reads again" in said

    def test_immutable_tag_of_the_image_itself(self, bent: BentRegistry, run: Run, repository: str) -> None:
        bent.bend(
            "PUT", r"/manifests/1$", error(412, "PRECONDITION", "tag 1 is immutable, cannot be overwritten"), asks=False
        )

        with pytest.raises(RegistryError, match="tag 1 is immutable"):
            run()

    @pytest.mark.parametrize("code", [400, 403, 409, 412])
    def test_immutable_tag_that_was_written_before_its_answer_was_lost(
        self, code: int, bent: BentRegistry, run: Run, repository: str, waits: list[float]
    ) -> None:
        bent.bend("PUT", r"/manifests/1$", error(502, message="bad gateway"), times=1)
        bent.bend("PUT", r"/manifests/1$", error(code, "TAG_INVALID", "tag 1 is immutable"), asks=False)

        run()

    def test_next_run_is_not_kept_by_what_the_first_left(
        self, bent: BentRegistry, run: Run, served: Hub, waits: list[float]
    ) -> None:
        bent.bend("PUT", r"/manifests/.*\.partial", error(409, "TAG_ALREADY_EXISTS", "immutable"), asks=False, skip=1)
        bent.bend("DELETE", MANIFESTS, error(405, "UNSUPPORTED"), asks=False)
        run()
        again = run()
        assert again.unchanged


class TestAbsence:
    """Registries that refuse what is not there, or do not know it."""

    @pytest.fixture
    def artifactory(self, bent: BentRegistry) -> BentRegistry:
        refused = lambda answer: Answer(403, body=b"Forbidden") if answer.status == 404 else answer  # noqa: E731
        bent.bend("GET|HEAD", f"{MANIFESTS}|{REFERRERS}|{BLOBS}", refused)
        return bent

    def test_forbidden_may_be_absent(self, artifactory: BentRegistry, run: Run) -> None:
        run()

    def test_mirror_from_there(
        self, artifactory: BentRegistry, plain_registry: Registry, repository: str, expected: str
    ) -> None:
        done = mirror(f"{artifactory.host}/{SOURCE}:1", f"{plain_registry.host}/{repository}:1")

        assert done.image.digest == expected

    def test_forbidden_stays_so_where_nothing_is_allowed(self, bent: BentRegistry, repository: str) -> None:
        bent.bend("GET|POST", f"{MANIFESTS}|{UPLOADS}", error(403, message="Forbidden"), asks=False)

        with pytest.raises(CredentialsError, match="403"):
            stream(MODEL, f"{bent.host}/{repository}:1")

    def test_forbidden_source_is_named(self, bent: BentRegistry, plain_registry: Registry, repository: str) -> None:
        bent.bend("GET", MANIFESTS, error(403, "DENIED", "image is quarantined"), asks=False)

        with pytest.raises(CredentialsError, match="image is quarantined"):
            mirror(f"{bent.host}/{SOURCE}:1", f"{plain_registry.host}/{repository}:1")

    @pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 405, 406, 410, 429, 500, 501, 503])
    def test_referrers_that_cannot_be_listed(
        self,
        code: int,
        bent: BentRegistry,
        plain_registry: Registry,
        repository: str,
        expected: str,
        waits: list[float],
    ) -> None:
        change = headers(Location="/gone") if code == 301 else error(code, message="no")
        bent.bend(
            "GET", REFERRERS, change if code != 301 else lambda _: Answer(301, (("Location", "/gone"),)), asks=False
        )
        bent.bend("GET", "/gone", error(429), asks=False)

        done = mirror(f"{bent.host}/{SOURCE}:1", f"{plain_registry.host}/{repository}:1")

        assert done.image.digest == expected
        with Repository(Reference.parse(f"{plain_registry.host}/{repository}:1")) as mirrored:
            assert list(referrers.find(mirrored, expected))

    def test_list_of_referrers_that_is_the_image_itself(
        self, bent: BentRegistry, plain_registry: Registry, repository: str, expected: str
    ) -> None:
        """GitLab takes the tag `sha256-<hex>` for the digest."""

        def resolve(answer: Answer) -> Answer:
            found = requests.get(
                f"http://{bent.registry}/v2/{repository}/manifests/{expected}",
                headers={"Accept": spec.INDEX},
                timeout=600,
            )
            kept = (("Content-Type", found.headers["Content-Type"]),)
            return Answer(found.status_code, kept, found.content) if answer.status == 404 else answer

        bent.bend("GET", rf"/manifests/{expected.replace(':', '-')}$", resolve)

        stream(MODEL, f"{bent.host}/{repository}:1")

        tag = expected.replace(":", "-")
        listed = requests.get(
            f"http://{bent.registry}/v2/{repository}/manifests/{tag}", headers={"Accept": spec.INDEX}, timeout=600
        ).json()
        assert all("artifactType" in entry for entry in listed["manifests"])

    @pytest.mark.parametrize("code", [403, 404, 405, 416])
    def test_registry_that_knows_no_head(self, code: int, bent: BentRegistry, run: Run) -> None:
        bent.bend("HEAD", BLOBS, error(code), asks=False)

        run()

    @pytest.mark.parametrize("code", [400, 403, 405])
    def test_end_of_an_upload_that_comes_late_where_there_is_no_head(
        self, code: int, bent: BentRegistry, run: Run, waits: list[float]
    ) -> None:
        bent.bend("PUT", UPLOADS, error(504, message="gateway timeout"), times=1)
        bent.bend("HEAD", BLOBS, error(code), asks=False)

        run()

        assert sum(waits) < upload.PATIENCE_SECONDS

    @pytest.mark.parametrize("code", [400, 403, 405])
    @pytest.mark.parametrize("kept", [True, False])
    def test_upload_that_went_on_is_looked_at_where_there_is_no_head(
        self, kept: bool, code: int, bent: BentRegistry
    ) -> None:
        bent.bend("GET", UPLOADS, status(204), asks=False)
        bent.bend("PATCH|PUT", UPLOADS, status(202), asks=False)
        bent.bend("HEAD", BLOBS, error(code), asks=False)
        bent.bend("GET", BLOBS, status(206) if kept else error(404), asks=False)
        connection = Connection(bent.host, "bent/resumed")
        place = "/v2/bent/resumed/blobs/uploads/1"
        resumed = upload.Upload(connection, Scope("bent/resumed", "pull,push"), place, capabilities_of(bent.host))
        resumed.offset = 10
        resumed.send([b"ten bytes."], 10)

        if kept:
            resumed.finish(f"sha256:{'1' * 64}")
        else:
            with pytest.raises(UploadLostError, match="lost a part of an upload"):
                resumed.finish(f"sha256:{'1' * 64}")

    @pytest.mark.parametrize("code", [401, 403])
    def test_what_is_not_there_may_be_refused_to_who_has_a_token(
        self, code: int, token_registry: TokenAuthRegistry, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a registry that tells nobody what there is: Docker Hub and others answer 401."""
        log_in(token_registry)
        real = Connection.send_once

        def hidden(connection: Connection, method: str, path: str, *scope: Any, **options: Any) -> requests.Response:
            response = real(connection, method, path, *scope, **options)
            if method in ("GET", "HEAD") and response.status_code == 404:
                response.status_code = code
            return response

        monkeypatch.setattr(Connection, "send_once", hidden)
        with Repository(Reference.parse(f"{token_registry.host}/bent/hidden:1"), push=True) as repository:
            assert repository.find_manifest("1") is None
            assert not repository.has_blob(f"sha256:{'1' * 64}")

    def test_password_that_was_refused_is_not_tried_for_other_things(
        self, basic_registry: BasicAuthRegistry, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(basic_registry, "password", "wrong")
        log_in(basic_registry)
        before = len(basic_registry.requests())

        with (
            Repository(Reference.parse(f"{basic_registry.host}/bent/wrong:1"), push=True) as repository,
            pytest.raises(CredentialsError),
        ):
            repository.find_manifest("1")

        assert "POST" not in {request.method for request in basic_registry.requests()[before:]}


class TestSubjects:
    """Registries that take no manifest with a subject."""

    @pytest.mark.parametrize(
        "refused",
        [
            error(400, "MANIFEST_INVALID", "unknown field subject"),
            error(403, "DENIED", "no artifacts here"),
            error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown"),
            error(500, "UNKNOWN", "internal"),
            error(503, message="unavailable"),
        ],
    )
    @pytest.mark.parametrize("signed", [False, True])
    def test_image_is_made(
        self, signed: bool, refused: Change, bent: BentRegistry, run: Run, waits: list[float], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repository: str, expected: str,
    ) -> None:  # fmt: skip
        if signed:
            private, _ = write_keys(tmp_path)
            monkeypatch.setenv("MODELCAR_SIGNING_KEY", str(private))
        bent.bend("PUT", MANIFESTS, refused, asks=False, if_body=b'"subject"')

        run()

        said = "takes signatures by their tags alone" if signed else "takes no provenance"
        assert said in capsys.readouterr().out
        tag = expected.replace(":", "-") + ".sig"
        there = requests.get(
            f"http://{bent.registry}/v2/{repository}/manifests/{tag}", headers={"Accept": spec.MANIFEST}, timeout=600
        )
        assert there.ok is signed

    def test_mirror_names_what_was_left(
        self, bent: BentRegistry, repository: str, expected: str, waits: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bent.bend("PUT", MANIFESTS, error(403, "DENIED", "no artifacts"), asks=False, if_body=b'"subject"')

        done = mirror(f"{bent.registry}/{SOURCE}:1", f"{bent.host}/{repository}:1")

        assert done.image.digest == expected
        assert "does not take all of what is attached" in capsys.readouterr().out


class TestWholeUploads:
    """Registries that want to know a blob's digest beforehand, and fronts that take small requests alone."""

    @pytest.mark.parametrize("code", [405, 415, 501])
    def test_no_parts(self, code: int, bent: BentRegistry, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        bent.bend("PATCH", UPLOADS, error(code, "UNSUPPORTED", "not here"), asks=False)

        run()

        assert "each is read twice" in capsys.readouterr().out
        assert capabilities_of(bent.host).line().startswith(f"{bent.host}: monolithic")

    def test_small_requests(self, bent: BentRegistry, run: Run) -> None:
        """Cloudflare takes 100 MB, nginx by default 1 MiB."""
        too_large = error(413, message="Request Entity Too Large")
        bent.bend("PATCH", UPLOADS, too_large, asks=False, least=600_000)

        run()

        assert capabilities_of(bent.host).max_body == 512 << 10

    def test_too_large_for_good(self, bent: BentRegistry, repository: str, waits: list[float]) -> None:
        bent.bend("PATCH", UPLOADS, error(413, "SIZE_INVALID", "layers to 20 GB"), asks=False)

        with pytest.raises(RegistryError, match="layers to 20 GB"):
            stream(MODEL, f"{bent.host}/{repository}:1")


class TestAddresses:
    """Where uploads and names lead."""

    def test_host_in_other_letters(self, bent: BentRegistry, expected: str, repository: str) -> None:
        port = bent.host.rpartition(":")[2]
        loud = lambda answer: answer.with_headers(  # noqa: E731
            Location=dict(answer.headers)["Location"].replace("127.0.0.1", "LOCALHOST")
        )
        bent.bend("POST|PATCH", UPLOADS, loud)

        assert stream(MODEL, f"localhost:{port}/{repository}:1").image.digest == expected

    def test_vanity_name(self, bent: BentRegistry, expected: str, repository: str) -> None:
        """A name that only redirects the greeting."""
        with BentRegistry(bent.registry) as vanity:
            vanity.bend(".*", r"^/v2/$", lambda _: Answer(307, (("Location", f"http://{bent.host}/v2/"),)), asks=False)
            vanity.bend(".*", ".", error(404), asks=False)

            assert stream(MODEL, f"{vanity.host}/{repository}:1").image.digest == expected

    @pytest.mark.parametrize(
        "offered",
        [
            ("Negotiate", "Basic realm=x"),
            ("Negotiate, Basic realm=x",),
            ("Basic realm=x", f"Bearer realm={NOBODY}"),
            (f"Bearer realm={NOBODY}", "Basic realm=x"),
        ],
    )
    def test_password_among_other_offers(
        self, offered: tuple[str, ...], basic_registry: BasicAuthRegistry, repository: str, isolated: Path,
        expected: str, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        def offer(answer: Answer) -> Answer:
            if answer.status != 401:
                return answer
            plain = answer.with_headers(WWW_Authenticate=None)
            return Answer(401, (*plain.headers, *(("WWW-Authenticate", one) for one in offered)), plain.body)

        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(isolated / "auth.json"))
        with BentRegistry(basic_registry.host) as bent:
            (isolated / "auth.json").write_text(json.dumps({"auths": {bent.host: basic_registry.auth_entry()}}))
            bent.bend(".*", ".", offer)

            assert stream(MODEL, f"{bent.host}/{repository}:1").image.digest == expected

    def test_kerberos_alone_is_named(self, bent: BentRegistry, repository: str) -> None:
        bent.bend(".*", ".", lambda _: Answer(401, (("WWW-Authenticate", "Negotiate"),)), asks=False)

        with pytest.raises(CredentialsError, match="it asks for negotiate alone"):
            stream(MODEL, f"{bent.host}/{repository}:1")


class TestSources:
    """Images that others made."""

    def put(self, registry: Registry, repository: str, content: bytes, version: str, kind: str) -> None:
        answer = requests.put(
            f"{registry.url}/v2/{repository}/manifests/{version}",
            data=content,
            headers={"Content-Type": kind},
            timeout=600,
        )
        assert answer.ok, answer.text

    def test_blob_cut_at_its_very_end(
        self, bent: BentRegistry, plain_registry: Registry, repository: str, expected: str, waits: list[float]
    ) -> None:
        shard = max((layer for layer in self.layers(plain_registry, expected)), key=lambda layer: int(layer["size"]))
        bent.reset_answer(after=int(shard["size"]), method="GET", path=f"/blobs/{shard['digest']}")

        done = mirror(f"{bent.host}/{SOURCE}:1", f"{plain_registry.host}/{repository}:1")

        assert done.image.digest == expected

    def layers(self, registry: Registry, digest: str) -> list[dict[str, Any]]:
        url = f"{registry.url}/v2/{SOURCE}/manifests/"
        index = requests.get(url + digest, headers={"Accept": spec.INDEX}, timeout=600).json()
        first = index["manifests"][0]["digest"]
        return list(requests.get(url + first, headers={"Accept": spec.MANIFEST}, timeout=600).json()["layers"])

    def test_sparse_index(
        self, bent: BentRegistry, plain_registry: Registry, repository: str, expected: str, waits: list[float],
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        """oc-mirror leaves out platforms, and keeps the index as it is."""
        index = requests.get(
            f"{plain_registry.url}/v2/{SOURCE}/manifests/{expected}", headers={"Accept": spec.INDEX}, timeout=600
        ).json()
        gone = index["manifests"][-1]["digest"]
        bent.bend("GET", f"/manifests/{gone}", error(404, "MANIFEST_UNKNOWN"), asks=False)
        with BentRegistry(plain_registry.host) as lenient:
            lenient.bend("PUT", f"/manifests/({expected}|1$)", lambda answer: Answer(201))

            with pytest.raises(ModelcarError):
                mirror(f"{bent.host}/{SOURCE}:1", f"{lenient.host}/{repository}:1")

        assert f"{gone}, which {expected} names, is not in" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["headers", "manifest"])
def test_what_drips_ends(where: str, bent: BentRegistry, repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then keeps every time-out of a single read from running out."""
    from tests.parts.dripping import dripping

    monkeypatch.setattr("modelcar.oci.connection.ANSWER_SECONDS", 1.5)
    monkeypatch.setattr("modelcar.oci.connection.BLOB_SECONDS", 1.5)
    with dripping(where) as host:
        began = time.monotonic()
        with (
            Repository(Reference.parse(f"{host}/{repository}:1")) as opened,
            pytest.raises(RegistryError, match="slow"),
        ):
            opened.manifest("1")
        assert time.monotonic() - began < 30


def test_large_attachments_are_carried_one_at_a_time(
    plain_registry: Registry, repository: str, expected: str, tmp_path: Path
) -> None:
    """Sixty of 3.9 MB once filled 223 MiB of memory."""
    # A copy: whatever is attached to the image that all tests mirror goes along with it each time.
    source = f"{plain_registry.host}/{repository}/source"
    mirror(f"{plain_registry.host}/{SOURCE}:1", f"{source}:1")
    with Repository(Reference.parse(f"{source}:1"), push=True) as opened:
        subject = opened.manifest(expected)
        opened.put_small_blob(b"{}")
        empty = spec.describe(b"{}", spec.EMPTY)
        about = spec.describe(subject.content, subject.media_type)
        manifests = [
            Stored(
                spec.Manifest(
                    artifactType="application/x-large",
                    config=empty,
                    layers=[empty],
                    subject=about,
                    annotations={"number": str(number), "filling": "x" * 3_000_000},
                ).encoded(),
                spec.MANIFEST,
            )
            for number in range(16)
        ]
        referrers.put(opened, subject, [referrers.Attached(one) for one in manifests])
    digests = {one.digest for one in manifests}
    del manifests
    tracemalloc.start()
    try:
        mirror(f"{source}@{expected}", f"{plain_registry.host}/{repository}:1")
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    with Repository(Reference.parse(f"{plain_registry.host}/{repository}:1")) as mirrored:
        assert digests <= {one.stored.digest for one in referrers.each(mirrored, expected)}
