"""What registries are known to take, and what a plan says of it."""

import json
import re
from pathlib import Path

import pytest
from rich.filesize import decimal

from modelcar.oci.capabilities import Capabilities, capabilities_of
from modelcar.oci.limits import KNOWN, known_limits
from modelcar.steps.preflight.registries import check_registry
from tests.parts.bent_registry import UPLOADS, BentRegistry, error
from tests.parts.command import modelcar
from tests.parts.registries import Registry

ROOT = Path(__file__).parents[3]
GB = 10**9


@pytest.mark.parametrize(
    ("host", "layer"),
    [
        ("quay.io", "20.0 GB"),
        ("ghcr.io", "10.0 GB"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "54.5 GB"),
        ("public.ecr.aws", "10.5 GB"),
        ("team.azurecr.io", "214.7 GB"),
        ("europe-west4-docker.pkg.dev", "9.9 GB"),
        ("registry.gitlab.com", "10.0 GB"),
        ("registry.example", ""),
        ("quay.io.evil.example", ""),
    ],
)
def test_limits_are_known_by_the_host(host: str, layer: str) -> None:
    limit = known_limits(host).layer_bytes
    assert (decimal(limit) if limit else "") == layer


def test_known_limits_have_their_source() -> None:
    assert all(limits.source.startswith("https://") and limits.name for _, limits in KNOWN)


def test_what_is_known_is_one_line() -> None:
    known = Capabilities("quay.io", known_limits("quay.io"), chunked=True, lists_referrers=False)
    assert known.line() == "quay.io: chunked, layers to 20.0 GB, referrers by tag"


def test_what_is_learned_is_kept_for_the_run(plain_registry: Registry) -> None:
    list(check_registry("target", f"{plain_registry.host}/limits/model:1", 0))
    assert capabilities_of(plain_registry.host).chunked is True
    assert capabilities_of(plain_registry.host).lists_referrers is False


def test_asked_once(plain_registry: Registry) -> None:
    with BentRegistry(plain_registry.host) as bent:
        for _ in range(3):
            list(check_registry("target", f"{bent.host}/limits/model:1", 0))
        assert sum(request.method == "PATCH" for request in bent.requests) == 1
        assert sum("/referrers/" in request.path for request in bent.requests) == 1


@pytest.mark.parametrize(
    ("host", "largest", "verdict", "words"),
    [
        ("ghcr.io", 11 * GB, "refusal", "GitHub takes 10.0 GB at most"),
        ("ghcr.io", 9 * GB, "warning", "needs 15.0 MB/s"),
        ("ghcr.io", GB, "ok", ""),
        ("team.azurecr.io", 100 * GB, "ok", ""),
        ("registry.example", 500 * GB, "ok", ""),
    ],
)
def test_plan_goes_by_them(
    host: str, largest: int, verdict: str, words: str, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = capabilities_of(plain_registry.host)
    known.limits = known_limits(host)

    found = list(check_registry("target", f"{plain_registry.host}/limits/model:1", largest))

    worst = max(found, key=lambda finding: ["ok", "warning", "refusal"].index(finding.verdict))
    assert worst.verdict == verdict
    assert words in worst.what


class TestDoctor:
    """`modelcar doctor --registry`."""

    def test_host_alone(self, plain_registry: Registry) -> None:
        done = modelcar("doctor", "--registry", plain_registry.host)
        assert done.returncode == 0, done.stderr
        assert "it answers over plain HTTP on this machine" in done.stdout
        assert "no login to it was found" in done.stdout

    def test_repository(self, plain_registry: Registry) -> None:
        done = modelcar("doctor", "--registry", f"{plain_registry.host}/limits/doctor")
        assert done.returncode == 0, done.stderr
        assert "it may be written to" in done.stdout
        assert re.search(r"chunked, no known layer limit, referrers by tag", done.stdout)

    def test_by_writing(self, plain_registry: Registry) -> None:
        named = f"{plain_registry.host}/limits/written"
        done = modelcar("doctor", "--registry", named, "--write", "--json")
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)
        facts = found["facts"]
        assert (facts["moves_tags"], facts["takes_subject"], facts["deletes"]) == (True, True, True)
        again = modelcar("doctor", "--registry", named, "--write")
        assert again.returncode == 0, again.stdout

    def test_several_and_one_that_is_down(self, plain_registry: Registry, closed_port: int) -> None:
        with BentRegistry(plain_registry.host) as bent:
            bent.bend("POST", UPLOADS, error(403, "DENIED", "quota is used up"), asks=False)
            names = [f"{plain_registry.host}/limits/doctor", f"{bent.host}/limits/doctor"]
            done = modelcar("doctor", "--registry", names[0], "--registry", names[1])
        assert done.returncode == 1
        assert "it may be written to" in done.stdout
        assert "quota is used up" in done.stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [(["--registry", "quay.io", "--write"], "names no repository"),
         (["--registry", "no registry"], "is not an image reference")],
    )  # fmt: skip
    def test_what_means_nothing_is_named(self, words: list[str], said: str) -> None:
        done = modelcar("doctor", *words)
        assert done.returncode == 2 or said == "is not an image reference"
        assert done.returncode != 0
        assert said in done.stderr


def test_each_row_of_the_docs_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs/registries.md").read_text()
    named = set(re.findall(r"`(test_\w+\.py)::([\w:]+)`", text))
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ")
        and not line.startswith(("| registry |", "| answer |", "| case |", "| where |", "| client |"))
    ]
    assert len(named) > 30
    assert all("::test_" in row for row in rows), [row for row in rows if "::test_" not in row]
    for file, name in named:
        (path,) = ROOT.glob(f"tests/**/{file}")
        written = path.read_text()
        for part in name.split("::"):
            assert re.search(rf"^\s*(class|def) {part}\b", written, re.MULTILINE), f"{file}::{name}"
