"""The shell in the default base image: it does what KServe and Kubeflow Pipelines have it do, as dash does."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.bootstrap.command import Bootstrapped, unpacked
from modelcar.image.shell.digests import LAYERS
from modelcar.image.shell.layer import COMMANDS, layer_of, read_layer
from modelcar.image.shell.programs import PROGRAMS
from modelcar.oci.spec import digest_of
from shell import build
from tests.parts.filtered_tar import filtered
from tests.parts.zig import python_with_zig

LINK = "ln -sf /proc/$$/root/models {path} && sleep infinity"
LINK_BELOW = "mkdir -p {folder} && ln -sf /proc/$$/root/models {path} && sleep infinity"
"""https://github.com/kserve/kserve/blob/master/pkg/utils/storage.go, modelcarCommand; since 0.11, and since 0.18."""

CHECK = (
    "echo 'Pre-fetching modelcar {image}: ' && [ -d {models} ] && [ \"$(ls -A {models})\" ] && "
    "echo 'OK ... Prefetched and valid (/models exists)' || "
    "(echo 'NOK ... Prefetched but modelcar is invalid (/models does not exist or is empty)' &&  exit 1)"
)
"""The init container's, of KServe and of Kubeflow Pipelines."""

IMPORT = (
    'ln -s /proc/$$/root/models "{path}" && echo "Running Modelcar container..." && '
    'until [ -f "{done}/launcher-complete" ]; do sleep 1; done'
)
"""https://github.com/kubeflow/pipelines/blob/master/backend/src/v2/driver/driver.go, addModelcarsToPodSpec."""

NATIVE = "arm64" if os.uname().machine in ("aarch64", "arm64") else "amd64"


@pytest.fixture(scope="session")
def sh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the shell, in a folder with the links that the image has."""
    folder = tmp_path_factory.mktemp("image")
    with tarfile.open(fileobj=io.BytesIO(layer_of(NATIVE))) as tar:
        filtered(tar, "tar").extractall(folder)
    return folder / "bin" / "sh"


def run(program: str | Path, script: str, place: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": "/bin", "HOME": "/root"}
    command = [program, "-c", script, *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=600, check=False)


def wait_until_there(path: Path) -> None:
    while not os.path.lexists(path):
        time.sleep(0.01)


@pytest.fixture
def started(sh: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Give a list of processes that are ended with the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", [LINK, LINK_BELOW])
def test_model_is_linked_and_stays_until_the_pod_ends(
    command: str, sh: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "deep down" / "models" if command == LINK_BELOW else tmp_path / "models"
    script = command.format(folder=f"'{path.parent}'", path=f"'{path}'")

    process = subprocess.Popen([sh, "-c", script])
    started.append(process)
    wait_until_there(path)

    assert os.readlink(path) == f"/proc/{process.pid}/root/models"
    process.terminate()
    assert process.wait(600) == -signal.SIGTERM


def test_link_of_a_container_that_ended_is_replaced_and_not_followed(
    sh: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """The shared folder outlives the container; a link followed would put the new one into the model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "model")

    process = subprocess.Popen([sh, "-c", LINK.format(path=tmp_path / "models")])
    started.append(process)
    while os.readlink(tmp_path / "models") != f"/proc/{process.pid}/root/models":
        time.sleep(0.01)

    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("image", ["registry.example/a/model:1", "registry.example/sleepy/sleep-model@sha256:0"])
def test_init_container_says_whether_there_is_a_model(image: str, sh: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    script = CHECK.format(image=image, models=models)

    assert run(sh, script, tmp_path).returncode == 1
    models.mkdir()
    empty = run(sh, script, tmp_path)
    (models / ".hidden").touch()
    full = run(sh, script, tmp_path)

    assert empty.returncode == 1
    assert b"NOK ... Prefetched but modelcar is invalid" in empty.stdout
    assert full.returncode == 0
    assert full.stdout.decode() == f"Pre-fetching modelcar {image}: \nOK ... Prefetched and valid (/models exists)\n"


def test_importers_container_waits_for_the_launcher(
    sh: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "registry.example_model:1" / "models"
    path.parent.mkdir()

    process = subprocess.Popen([sh, "-c", IMPORT.format(path=path, done=path.parent)], stdout=subprocess.PIPE)
    started.append(process)
    wait_until_there(path)
    assert process.poll() is None
    (path.parent / "launcher-complete").touch()

    assert process.wait(600) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b"Running Modelcar container...\n"


def test_first_process_of_a_container_ends_when_it_is_told_to(sh: Path, tmp_path: Path) -> None:
    """The kernel keeps signals from a first process that asks for none, and the kubelet would wait for 30 seconds."""
    alone = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    script = f"touch {tmp_path}/there && sleep infinity"
    with subprocess.Popen([*alone, sh, "-c", script]) as process:
        wait_until_there(tmp_path / "there")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert process.wait(600) == 128 + signal.SIGTERM


SCRIPTS = Path(__file__).with_name("scripts.sh").read_text().split("\n---\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_what_dash_makes_of_them(script: str, sh: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "dash").mkdir()

    ours = run(sh, script, tmp_path / "ours", "zero", "one", "two words")
    dash = run("dash", script, tmp_path / "dash", "zero", "one", "two words")

    assert (ours.returncode, ours.stdout.decode()) == (dash.returncode, dash.stdout.decode()), ours.stderr.decode()
    assert sorted(os.listdir(tmp_path / "ours")) == sorted(os.listdir(tmp_path / "dash"))


WORDS = st.sampled_from(
    [
        "a",
        "b c",
        "$x",
        '"$x"',
        "${y:-d}",
        "'$x'",
        '"$(echo in; exit 3)"',
        "$(echo p  q)",
        "$?",
        '""',
        "\\$x",
        "x=1",
        "#",
    ]
)
SIMPLE = st.one_of(
    st.lists(WORDS, max_size=3).map(lambda words: " ".join(["echo", *words])),
    st.sampled_from(
        ["true", "false", ":", "x=1", "x='a  b'", "y=$x", "(exit 3)", "[ a = b ]", '[ -n "$x" ]', "nothing"]
    ),
    st.sampled_from(["echo o > f", "cat f", "cat < f", "[ -f f ]", "rm -f f", "mkdir -p d/e", "[ -d d ]", "ls"]),
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(pair, st.sampled_from(["; ", " && ", " || ", "\n"])).map(lambda given: given[1].join(given[0])),
        inner.map(lambda script: f"( {script} )"),
        inner.map(lambda script: f"{{ {script}\n}}"),
        inner.map(lambda script: f"! {{ {script}\n}}"),
        pair.map(lambda given: f"if {given[0]}\nthen {given[1]}\nelse echo no; fi"),
        inner.map(lambda script: f"for x in 1 '2 3'; do {script}\ndone"),
        inner.map(lambda script: f'i=; until [ "$i" = xx ]; do i=x$i; {script}\ndone'),
        # A name of its own at each depth: `cat g` inside of `{ … } > g` reads what it writes, without end.
        inner.map(
            lambda script: f"{{ {script}\n}} 2>/dev/null > g{len(script)}; cat g{len(script)}; rm -f g{len(script)}"
        ),
        inner.map(lambda script: f"set -e; {script}"),
    )


@given(script=st.recursive(SIMPLE, compound, max_leaves=8))
def test_any_script_within_its_grammar_does_what_dash_makes_of_it(
    script: str, sh: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outcomes = []
    for program in (sh, "dash"):
        done = run(program, script, tmp_path_factory.mktemp("script"))
        outcomes.append((done.returncode, done.stdout.decode()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("touch there; f() { true; }", "functions"),
        ("touch there; ls | cat", "|"),
        ("touch there; echo $((1 + 1))", "$((...))"),
        ("touch there; case a in a) ;; esac", "case"),
        ("touch there; cat <<E\nE", "<<"),
        ("touch there; echo `ls`", "`...`"),
        ("touch there; ls *", "* and ?"),
        ("touch there; if true; then", "syntax error at: the end"),
        ("touch there; (true", "syntax error at: the end"),
        ("touch there; echo 'a", "syntax error: not closed: 'a"),
        ("touch there; done", "syntax error"),
        ("touch there; true && && true", "syntax error"),
    ],
)
def test_what_it_does_not_know_is_refused_before_anything_runs(
    script: str, what: str, sh: Path, tmp_path: Path
) -> None:
    done = run(sh, script, tmp_path)

    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert what in done.stderr.decode()
    assert not (tmp_path / "there").exists()


@given(script=st.text("abx=$?!#(){}[]<>&|;'\"\\ \n-/", max_size=60))
def test_no_script_makes_it_crash(script: str, sh: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing but its own words end it: no signal, that is."""
    assert 0 <= run(sh, script, tmp_path_factory.mktemp("any")).returncode < 128


def test_loop_of_a_long_wait_needs_no_more_memory_with_time(sh: Path, tmp_path: Path) -> None:
    script = 'i=; until [ -f stop ]; do i="$(echo "$i" long words each time)"; i=; [ -d . ] && echo; done'
    with subprocess.Popen([sh, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(300):
            process.stdout.readline()
        before = resident(process.pid)
        for _ in range(2000):
            process.stdout.readline()
        assert resident(process.pid) <= before + 16_384
        (tmp_path / "stop").touch()


def resident(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_commands_can_be_called_by_name(sh: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")

    listed = subprocess.run([sh.parent / "ls", "-A", tmp_path], capture_output=True, check=True)
    shown = subprocess.run([sh.parent / "cat", tmp_path / "file"], capture_output=True, check=True)

    assert (listed.stdout, shown.stdout) == (b"file\n", b"content\n")
    assert sorted(path.name for path in sh.parent.iterdir()) == sorted([*COMMANDS, "sh"])


@pytest.mark.parametrize("architecture", LAYERS)
def test_layer_has_the_digest_that_the_base_names(architecture: str) -> None:
    digest, size = LAYERS[architecture]
    layer = b"".join(read_layer(digest))

    assert (digest_of(layer), len(layer)) == (digest, size)
    assert b"".join(read_layer(digest, 1000)) == layer[1000:]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = tar.getmembers()
    assert all((member.uid, member.gid, member.mtime) == (0, 0, 0) for member in members)
    assert {member.mode for member in members if not member.issym()} == {0o755}


def test_programs_are_what_the_source_gives(tmp_path: Path) -> None:
    build.write(build.build(python_with_zig()), tmp_path)

    for name in ("programs.py", "digests.py"):
        assert (tmp_path / name).read_text() == (build.TARGET / name).read_text(), "run: make shell"
    assert list(PROGRAMS) == list(build.ARCHITECTURES)


@pytest.mark.parametrize("step", ["stream", "build", "build_in_job", "stream_on_vertex"])
def test_code_that_travels_in_a_command_has_the_shell(step: str, tmp_path: Path) -> None:
    """Nothing but our code is there: a step's pod has it from its own command."""
    component = getattr(import_module(f"modelcar.components.{step}"), step)
    carried = Bootstrapped.parse(component.component_spec.implementation.container.command)
    assert carried is not None
    with tarfile.open(fileobj=io.BytesIO(unpacked(carried.archive)), mode="r:*") as tar:
        filtered(tar).extractall(tmp_path)
    program = (
        "import hashlib, modelcar; from modelcar.image.shell.layer import read_layer; "
        "from modelcar.image.base_image import open_base_image; "
        "layers = [layer.digest for layer in open_base_image('').layers]; "
        "print(modelcar.__file__, *(hashlib.sha256(b''.join(read_layer(one))).hexdigest() for one in layers))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    file, *digests = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert [f"sha256:{digest}" for digest in digests] == [digest for digest, _ in LAYERS.values()]
