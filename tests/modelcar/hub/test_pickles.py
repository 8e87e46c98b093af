"""Files that run code when they are loaded: flagged in the plan, refused unless they are allowed."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import WeightsError
from modelcar.hub.pickles import MAX_MEMBERS, is_pickle, is_pickle_by_name, look
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.preflight.page import page
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.parts.forged import Member, tar_of
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama, variants
from tests.parts.registries import Registry
from tests.parts.steps import build, download, plan, stream

REPO = "org/pickled"
REMEDY = r"leave them out with --exclude, or, if you trust their owner like your own code, --allow-pickle"


class Runs:
    """What a pickle that runs code looks like."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("it runs",))


PICKLE = pickle.dumps(Runs())
OBJECTS = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128) + PICKLE


def zipped(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, content)
    return archive.getvalue()


@pytest.fixture
def disguised(hub: Hub) -> Hub:
    """Give a Hub with a pickle that is called something else."""
    hub.publish(REPO, {"config.json": "{}", "vectors.dat": PICKLE + bytes(2_000_000)})
    return hub


@pytest.mark.parametrize(
    "path",
    ["pytorch_model.bin", "a/model.pt", "model.PTH", "x.ckpt", "x.pkl", "x.pickle", "scaler.joblib", "a.dill", ".x.pt"],
)
def test_names_that_say_it(path: str) -> None:
    assert is_pickle_by_name(path)


@pytest.mark.parametrize("path", ["model.safetensors", "bin", "a.bin/config.json", "ggml-base.bin", "x.npy", "x.gguf"])
def test_names_that_do_not(path: str) -> None:
    assert not is_pickle_by_name(path)


def test_what_openvino_calls_bin_is_none() -> None:
    beside = {"openvino_model.bin", "openvino_model.xml", "x.bin"}

    assert [path for path in sorted(beside) if is_pickle_by_name(path, beside)] == ["x.bin"]


@given(
    st.recursive(st.dictionaries(st.text(), st.binary() | st.floats()) | st.text(min_size=1), st.lists),
    st.integers(2, 5),
)
def test_a_pickle_is_known_by_its_beginning(value: object, protocol: int) -> None:
    assert is_pickle(pickle.dumps([value], protocol))


@pytest.mark.parametrize(
    "head",
    [
        *(PICKLE, OBJECTS, b"cos\nsystem\n(S'true'\ntR.", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
        *(zipped("archive/data.pkl", b"x"), zipped("model/data.pkl", PICKLE), zipped("a.npy", OBJECTS)),
    ],
)
def test_other_beginnings_are_known(head: bytes) -> None:
    assert is_pickle(head)


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"{}", b"GGUF\x03\x00", b"\x08\x00", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"config\nof a model\n"),
        *(zipped("a.json", b"{}"), b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"),
    ],
)
def test_other_files_are_none(head: bytes) -> None:
    assert not is_pickle(head)


@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY"]))
def test_no_beginning_ends_it_badly(content: bytes, magic: bytes) -> None:
    assert is_pickle(magic + content) in (True, False)


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["model_config.yaml", "tokenizer.model"], False),
        (["model_config.yaml", "model_weights.ckpt"], True),
        (["model_weights.ckpt", *(f"{number}.txt" for number in range(MAX_MEMBERS))], True),
        ([*(f"{number}.txt" for number in range(MAX_MEMBERS)), "model_weights.ckpt"], None),
    ],
)
def test_a_tar_is_judged_by_its_members_or_not_at_all(names: list[str], answer: bool | None) -> None:
    archive = tar_of(*map(Member, names))

    assert look(len(archive), lambda start, end: archive[start:end], is_suspect=True) is answer


def test_beside_safetensors_nothing_is_refused(hub: Hub, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "model", shards=1, bytes_per_shard=20_000)
    variants(tmp_path / "model", "pytorch", "original", size=5000)
    (tmp_path / "model" / "training_args.bin").write_bytes(PICKLE)
    hub.publish(REPO, tmp_path / "model")

    planned = plan(REPO, "registry.example/a/b:1")

    assert planned.problems == ()
    assert planned.pickles == ()
    reasons = {left.file.path: left.reason for left in planned.choice.left_out}
    assert reasons["training_args.bin"] == "of use for training only"
    assert reasons["pytorch_model-00001-of-00002.bin"] == "the same weights as the safetensors beside it"


def test_pickles_alone_are_refused_before_a_byte_is_fetched(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    names = variants(tmp_path / "model", "pytorch", size=5000)[:2]
    hub.publish(REPO, tmp_path / "model")
    expected = rf"^{names[0]}, {names[1]} may hold Python pickles, which run code when they are loaded\. .*{REMEDY}"

    for attempt in (
        lambda: download(REPO, tmp_path / "claim"),
        lambda: stream(REPO, "registry.invalid/a/b:1"),
    ):
        with pytest.raises(WeightsError, match=expected):
            attempt()

    assert not (tmp_path / "claim").exists()
    assert not [served for served in hub.requests if served.path.endswith(".bin")]


def test_the_plan_flags_them_and_says_what_to_do(hub: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    names = variants(tmp_path / "model", "pytorch", size=5000)[:2]
    hub.publish(REPO, tmp_path / "model")
    run = {"model": REPO, "target": f"{plain_registry.host}/pickled/plan:1", "streaming": True}

    refused, allowed = preflight(RunRequest(**run)), preflight(RunRequest(**run, allow_pickle=True))

    (why,) = refused.refusals
    assert "may hold Python pickles" in why.what
    assert "allow_pickle" in why.remedy
    warnings = [finding.what for finding in allowed.findings if finding.verdict == "warning"]
    assert warnings[0] == "2 of the files may hold pickles, which run code when they are loaded; you allowed it"
    for name in names:
        shown = name.replace("_", "\\_")
        assert f"| {shown} | 5.3 kB | pickle: runs code |" in page(refused)


def test_allowed_they_are_taken(hub: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    names = variants(tmp_path / "model", "pytorch", size=1_500_000)
    hub.publish(REPO, tmp_path / "model")
    target = f"{plain_registry.host}/pickled/allowed"

    done = download(REPO, tmp_path / "claim", allow_pickle=True)
    built = build(done.directory, f"{target}:1", builder="direct")
    streamed = stream(REPO, f"{target}:2", allow_pickle=True)

    assert sorted(file.path for file in done.snapshot.files) == sorted(names)
    assert built.image == streamed.image


def test_a_disguised_pickle_is_named_and_becomes_no_image(
    disguised: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    expected = rf"^vectors\.dat is a Python pickle, or holds one, which runs code when it is loaded\. .*{REMEDY}"
    with pytest.raises(WeightsError, match=expected):
        download(REPO, tmp_path / "claim")
    target = f"{plain_registry.host}/pickled/disguised:1"
    with pytest.raises(WeightsError, match=expected):
        stream(REPO, target)
    with Repository(Reference.parse(target)) as repository:
        assert repository.find_manifest("1") is None


def test_a_download_that_was_allowed_pickles_is_no_permission_for_the_next(disguised: Hub, tmp_path: Path) -> None:
    assert download(REPO, tmp_path / "claim", allow_pickle=True).snapshot.allow_pickle
    with pytest.raises(WeightsError, match="is a Python pickle"):
        download(REPO, tmp_path / "claim")


def test_training_files_alone_are_no_model(hub: Hub) -> None:
    hub.publish(REPO, {"config.json": "{}", "optimizer.pt": PICKLE})

    planned = plan(REPO, "registry.example/a/b:1")

    assert [file.path for file in planned.choice.taken] == ["config.json"]
    assert "no weights" in planned.problems[0].what
