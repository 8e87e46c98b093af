"""Image references, read and written."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import UnsafeNameError
from modelcar.oci.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

_words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
_components = st.builds("".join, st.tuples(_words, st.sampled_from(["", ".", "_", "__", "-", "--"]), _words))
_hosts = st.one_of(
    st.just("localhost"),
    st.just("[::1]"),
    st.lists(_words, min_size=2, max_size=4).map(".".join),
    st.builds("{}:{}".format, _words, st.integers(1, 65535)),
)
_tags = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=64).map(lambda tag: tag + ".-x")
_digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
_references = st.builds(
    Reference,
    _hosts,
    st.lists(_components, min_size=1, max_size=4).map("/".join),
    _tags,
    st.one_of(st.just(""), _digests),
)


@given(_references)
def test_written_reference_is_read_back(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference


@given(_references, _digests)
def test_pinned_reference_is_read_back(reference: Reference, digest: str) -> None:
    pinned = reference.at(digest)

    assert Reference.parse(str(pinned)) == pinned
    assert (pinned.registry, pinned.repository, pinned.tag) == (reference.registry, reference.repository, "")
    assert pinned.version == digest


@given(st.one_of(st.text(), st.text("aA.:/@-_[]0 \n" + "sha256é", max_size=40)))
def test_any_text_is_read_or_named_unsafe(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UnsafeNameError:
        return
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("scheme", ["docker://", "oci://", "https://", "http://"])
def test_scheme_is_dropped(scheme: str) -> None:
    assert str(Reference.parse(f" {scheme}quay.io/team/model:1\n")) == "quay.io/team/model:1"


def test_latest_is_meant_without_tag_and_digest() -> None:
    assert Reference.parse("quay.io/team/model").version == "latest"
    assert Reference.parse(f"quay.io/team/model@{DIGEST}").tag == ""


def test_digest_goes_before_the_tag() -> None:
    reference = Reference.parse(f"quay.io/team/model:1@{DIGEST}")

    assert (reference.tag, reference.version) == ("1", DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        *("", "model", "team/model:1", "ubuntu:22.04", "quay.io", "quay.io/", "quay.io/team/", "quay.io//model"),
        *("quay.io/../model", "quay.io/team/model:", "quay.io/team/model:-1", f"quay.io/team/model:{'x' * 129}"),
        *("quay.io/team/model@sha256:12", "quay.io/team/model@md5:" + "0" * 32, "quay.io/team/mo del"),
        *(
            "quay.io/team/model?x",
            "user@quay.io/team/model",
            "quay.io/" + "x/" * 128 + "model",
            "docker://docker://a.b/c",
        ),
    ],
)
def test_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UnsafeNameError):
        Reference.parse(text)


def test_upper_case_is_named_as_the_reason() -> None:
    with pytest.raises(UnsafeNameError, match="must be in lower case"):
        Reference.parse("quay.io/Team/Model:1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("docker.io/library/alpine:3", "docker.io/library/alpine:3"),
        ("index.docker.io/team/model:1", "docker.io/team/model:1"),
        ("Docker.IO/alpine:3", "docker.io/library/alpine:3"),
        ("docker.example/alpine:3", "docker.example/alpine:3"),
    ],
)
def test_dockers_own_names(text: str, expected: str) -> None:
    assert str(Reference.parse(text)) == expected


def test_sha512_is_a_digest() -> None:
    digest = f"sha512:{'ab' * 64}"
    assert Reference.parse(f"quay.io/team/model@{digest}").version == digest
