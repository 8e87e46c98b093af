"""Images that are signed without a key: by a Sigstore of one's own, whose real servers run here, and real judges."""

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from modelcar import pod
from modelcar.attestation import bundle, cosign, identity_token, model_signing
from modelcar.attestation.keyless import SIGNING_CONFIG, TRUSTED_ROOT, Identity, Keyless
from modelcar.attestation.keys import SigningError
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.parts.cosign import cosign as run_cosign
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.sigstore import Sigstore, sigstore
from tests.parts.steps import stream

MODEL = "example/keyless"
OTHER = ("team", "somebody-else")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sigstore]:
    with sigstore(tmp_path_factory.mktemp("sigstore")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keyless") / "model"
    return tiny_llama(folder, shards=2, bytes_per_shard=300_000, consolidated=False)


@pytest.fixture(scope="module")
def filled_hub(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        hub.publish(MODEL, files)
        yield hub


@dataclass(frozen=True)
class World:
    """A repository of the test's own, and who signs in it.

    Attributes:
        servers: The Sigstore.
        name: The repository, with its registry.
        environment: Says who signs.
        folder: For the judges.
    """

    servers: Sigstore
    name: str
    environment: pytest.MonkeyPatch
    folder: Path

    @property
    def ours(self) -> Identity:
        """Us."""
        return Identity.read(self.servers.identity, self.servers.issuer.url, self.servers.trusted_root)

    def run(self, tag: str = "1") -> Reference:
        """Stream the model."""
        return stream(MODEL, f"{self.name}:{tag}").image

    def signs_as(self, account: tuple[str, str]) -> None:
        """Sign as somebody else."""
        self.environment.setenv(identity_token.VARIABLE, self.servers.issuer.token(account=account))

    def attached(self, image: Reference) -> list[str]:
        """Give the digests of all that is attached to an image."""
        with Repository(image) as repository:
            return sorted(one.stored.digest for one in referrers.find(repository, image.digest))

    def judged(self, image: Reference, *command: str, identity: str = "", issuer: str = "") -> int:
        """Have cosign check an image."""
        arguments = [
            *command,
            "--new-bundle-format=true",
            "--allow-http-registry",
            f"--trusted-root={self.servers.trusted_root}",
            "--use-signed-timestamps",
            f"--certificate-identity={identity or self.servers.identity}",
            f"--certificate-oidc-issuer={issuer or self.servers.issuer.url}",
            str(image),
        ]
        done = run_cosign(self.folder, *arguments)
        print(done.stderr)
        return done.returncode


@pytest.fixture
def world(
    servers: Sigstore,
    filled_hub: Hub,
    plain_registry: Registry,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> World:
    """Give a repository of the test's own, and sign there as a service account."""
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)
    monkeypatch.setenv(pod.SIGSTORE, str(servers.folder))
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")
    world = World(servers, f"{plain_registry.host}/keyless/{name}", monkeypatch, tmp_path)
    monkeypatch.setenv(identity_token.VARIABLE, servers.issuer.token())
    return world


def test_cosign_takes_image_and_attestations_and_refuses_others(world: World) -> None:
    image = world.run()

    assert world.judged(image, "verify") == 0
    for kind in ("slsaprovenance1", "cyclonedx"):
        assert world.judged(image, "verify-attestation", "--type", kind) == 0
    other = world.servers.identity.replace("modelcar-build", "somebody-else")
    assert world.judged(image, "verify", identity=other) != 0
    assert world.judged(image, "verify", issuer="https://issuer.example.com") != 0


def test_the_stock_model_signing_tool_takes_the_models_files(world: World, files: Path) -> None:
    image = world.run()
    with Repository(image) as repository:
        (attached,) = referrers.of_type(repository, image.digest, model_signing.MEDIA_TYPE)
        content = repository.small_blob(attached.manifest().layers[0].digest)
    signature = world.folder / "model.sig"
    signature.write_bytes(content)

    opened = bundle.opened(content, world.ours)

    assert opened is not None
    assert opened.by_us
    assert model_signing.signed_files(opened.payload)
    options = {
        "signature": signature,
        "trust_config": world.servers.trust_config,
        "identity": world.servers.identity,
        "identity_provider": world.servers.issuer.url,
    }
    named = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "model_signing", "verify", "sigstore", str(files), *named]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("how", [{}, {"offline": True}, {"quick": True}], ids=["all", "offline", "quick"])
def test_verify_by_identity_finds_it_whole_and_of_nobody_else(how: dict[str, bool], world: World) -> None:
    image = world.run()
    others = Identity.read(f"{world.servers.identity}x", world.servers.issuer.url, world.servers.trusted_root)

    assert verify(str(image), key=world.ours, **how).outcome is Outcome.WHOLE  # type: ignore[arg-type]
    assert verify(str(image), key=others, **how).outcome is not Outcome.WHOLE  # type: ignore[arg-type]


def test_the_next_run_signs_nothing_again(world: World) -> None:
    before = world.attached(world.run())

    assert stream(MODEL, f"{world.name}:1").unchanged
    assert world.attached(world.run()) == before


def test_another_accounts_signature_is_none_of_ours(world: World) -> None:
    """Everybody with a pod in the cluster is given certificates."""
    world.signs_as(OTHER)
    image = world.run()
    assert verify(str(image), key=world.ours).outcome is Outcome.BROKEN
    before = world.attached(image)

    world.environment.setenv(identity_token.VARIABLE, world.servers.issuer.token())
    assert world.run() == image

    assert len(world.attached(image)) > len(before)
    assert verify(str(image), key=world.ours).outcome is Outcome.WHOLE


def test_our_signature_of_another_image_is_none_of_this(world: World) -> None:
    ours = world.run()
    with Repository(ours, push=True) as repository:
        stored = repository.manifest(ours.digest)
        forged = type(stored)(stored.content.replace(b'"schemaVersion":2', b'"schemaVersion": 2'), stored.media_type)
        repository.put_manifest(forged, "forged")
        for one in referrers.find(repository, ours.digest):
            text = one.stored.content.decode().replace(ours.digest, forged.digest)
            size = f'"size":{len(stored.content)}'
            moved = type(stored)(text.replace(size, f'"size":{len(forged.content)}').encode(), one.stored.media_type)
            referrers.put(repository, forged, [referrers.Attached(moved)])
    copied = ours.at(forged.digest)

    assert world.attached(copied)
    assert world.judged(copied, "verify") != 0
    assert verify(str(copied), key=world.ours).outcome is Outcome.BROKEN


def test_a_mirror_has_the_signatures_too(world: World) -> None:
    image = world.run()

    copied = mirror(str(image), f"{world.name}-mirror:1").image

    assert world.judged(copied, "verify") == 0
    assert verify(str(copied), key=world.ours).outcome is Outcome.WHOLE


def test_a_certificate_lasts_for_all_that_is_signed_at_once(world: World) -> None:
    shown: list[str] = []

    def token() -> str:
        shown.append(world.servers.issuer.token())
        return shown[-1]

    signer = Keyless(world.servers.folder, token)
    for digest in "ab":
        statement = {**cosign.signed_image(Reference.parse(f"{world.name}:1"), f"sha256:{digest * 64}")}
        opened = bundle.opened(bundle.bundle(statement, signer), signer.public)
        assert opened is not None
        assert opened.by_us

    assert len(shown) == 1
    assert (signer.public.name, signer.public.issuer) == (world.servers.identity, world.servers.issuer.url)


def an_expired_token(world: World) -> str:
    return world.servers.issuer.token(seconds=-60)


def a_token_for_others(world: World) -> str:
    return world.servers.issuer.token(audience="https://kubernetes.default.svc")


def a_token_that_nobody_signed(world: World) -> str:
    head, claims, _ = world.servers.issuer.token().split(".")
    return f"{head}.{claims}.{base64.urlsafe_b64encode(bytes(256)).rstrip(b'=').decode()}"


def no_token_at_all(world: World) -> str:
    return "nonsense"


TOKENS = [an_expired_token, a_token_for_others, a_token_that_nobody_signed, no_token_at_all]


@pytest.mark.parametrize("made", TOKENS, ids=lambda made: made.__name__)
def test_who_has_no_good_token_is_told_before_any_byte_moves(made: Callable[[World], str], world: World) -> None:
    token = made(world)
    world.environment.setenv(identity_token.VARIABLE, token)

    with redirect_stdout(StringIO()) as said, pytest.raises(SigningError, match="no certificate for signing") as raised:
        world.run()

    assert token not in str(raised.value) + said.getvalue()
    assert "\n" not in str(raised.value)
    with Repository(Reference.parse(f"{world.name}:1")) as repository:
        assert repository.find_manifest("1") is None


def test_a_log_that_is_down_leaves_no_tag(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcar.retries.time.sleep", lambda _: None)
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / TRUSTED_ROOT).write_bytes(world.servers.trusted_root.read_bytes())
    servers = json.loads((world.servers.folder / SIGNING_CONFIG).read_text())
    servers["rekorTlogUrls"][0]["url"] = "http://127.0.0.1:9"
    (folder / SIGNING_CONFIG).write_text(json.dumps(servers))
    world.environment.setenv(pod.SIGSTORE, str(folder))

    with pytest.raises(SigningError, match="the log takes no entry"):
        world.run()

    with Repository(Reference.parse(f"{world.name}:1")) as repository:
        assert repository.find_manifest("1") is None


def test_files_that_cosign_makes_are_taken(world: World, tmp_path: Path) -> None:
    """The commands are those of docs/how-it-works.md, with the servers of this machine."""
    made, servers = tmp_path / "made", json.loads((world.servers.folder / SIGNING_CONFIG).read_text())
    made.mkdir()
    places = {
        "https://fulcio.example.com": servers["caUrls"][0]["url"],
        "https://rekor.example.com": servers["rekorTlogUrls"][0]["url"],
        "https://tsa.example.com/api/v1/timestamp": servers["tsaUrls"][0]["url"],
        "https://ctlog.example.com": "http://127.0.0.1:9",
        "fulcio.pem": world.servers.folder / "authority.pem",
        "ctlog.pub": world.servers.folder / "certificates.pub",
        "rekor.pub": world.servers.folder / "log.pub",
        "tsa.pem": world.servers.folder / "timestamps.pem",
        SIGNING_CONFIG: made / SIGNING_CONFIG,
        TRUSTED_ROOT: made / TRUSTED_ROOT,
    }
    page = re.sub(r"\\\n\s*", "", Path("docs/how-it-works.md").read_text())
    for command in re.findall(r"^    cosign (.+)$", page, re.MULTILINE):
        for shown, local in places.items():
            command = command.replace(shown, str(local))
        done = run_cosign(tmp_path, *shlex.split(command))
        assert done.returncode == 0, done.stderr
    world.environment.setenv(pod.SIGSTORE, str(made))

    image = world.run()

    ours = Identity.read(world.servers.identity, world.servers.issuer.url, made / TRUSTED_ROOT)
    assert verify(str(image), key=ours).outcome is Outcome.WHOLE
    assert world.judged(image, "verify") == 0


def test_the_command_goes_by_identity(world: World) -> None:
    image = world.run()
    root = f"--trusted-root={world.servers.trusted_root}"
    issuer = f"--certificate-oidc-issuer={world.servers.issuer.url}"

    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "modelcar", "verify", str(image), *options]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    whole = run(root, issuer, f"--certificate-identity={world.servers.identity}")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert f"made by {world.servers.identity}, of this image" in whole.stdout
    assert run(root, issuer, "--certificate-identity=nobody").returncode == 1


def test_a_run_that_was_broken_off_reads_back_what_it_goes_on_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notes have no signature: nobody can tell whose they are."""
    with monkeypatch.context() as broken:
        broken.setattr("modelcar.image.push.write_image", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.run()
    read: list[str] = []
    whole = Repository.read_blob

    def counted(repository: Repository, digest: str, *more: Any, **named: Any) -> Any:
        read.append(digest)
        return whole(repository, digest, *more, **named)

    monkeypatch.setattr(Repository, "read_blob", counted)

    assert verify(str(world.run()), key=world.ours).outcome is Outcome.WHOLE
    assert read


@pytest.fixture
def unsigned_paths() -> list[Callable[[dict[str, Any]], None]]:
    """Give changes of a bundle, after each of which nobody has signed it."""
    return [
        lambda one: one["verificationMaterial"].pop("tlogEntries"),
        lambda one: one["verificationMaterial"].update(tlogEntries=[]),
        lambda one: one["verificationMaterial"]["timestampVerificationData"].update(rfc3161Timestamps=[]),
        lambda one: one["verificationMaterial"]["tlogEntries"][0].pop("inclusionProof"),
        lambda one: one["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].update(rootHash="AAAA"),
        lambda one: one["verificationMaterial"].update(publicKey={"hint": "ours"}),
        lambda one: one["dsseEnvelope"].update(payloadType="application/json"),
        lambda one: one["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()),
        lambda one: one["dsseEnvelope"]["signatures"].append(one["dsseEnvelope"]["signatures"][0]),
        lambda one: one["dsseEnvelope"].update(signatures=[]),
    ]


def test_a_bundle_without_any_of_its_proofs_is_nobodys(
    world: World, unsigned_paths: list[Callable[[dict[str, Any]], None]]
) -> None:
    signer = Keyless(world.servers.folder)
    honest = bundle.bundle(cosign.signed_image(Reference.parse(f"{world.name}:1"), f"sha256:{'a' * 64}"), signer)
    opened = bundle.opened(honest, signer.public)
    assert opened is not None
    assert opened.by_us
    for change in unsigned_paths:
        changed = json.loads(honest)
        change(changed)
        opened = bundle.opened(json.dumps(changed).encode(), signer.public)
        assert opened is None or not opened.by_us, changed


def test_bytes_of_a_bundle_that_are_changed_at_random_are_nobodys(world: World) -> None:
    signer, random = Keyless(world.servers.folder), Random(14)
    honest = bundle.bundle(cosign.signed_image(Reference.parse(f"{world.name}:1"), f"sha256:{'a' * 64}"), signer)
    said = bundle.opened(honest, signer.public)
    for _ in range(300):
        changed = bytearray(honest)
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        opened = bundle.opened(bytes(changed), signer.public)
        assert opened is None or not opened.by_us or opened == said
