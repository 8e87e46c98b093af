"""The command as it is typed: its help at any width, wrong usage, its words, and any encoding."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import modelcar as package
from modelcar.cli.app import COMMANDS
from modelcar.cli.parameters import CHOICES, parameters
from modelcar.cli.words import in_options
from modelcar.hub.selection import LAYOUTS
from modelcar.image.builder import BUILDERS
from modelcar.image.tag_policy import IF_EXISTS
from modelcar.steps.preflight.request import BUILD_MODES
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.registries import Registry

PROGRAM = [sys.executable, "-m", "modelcar"]
EVERY = [*COMMANDS, "schedule create", "schedule list", "presets show"]
MODEL = "example/tiny-llama"


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *words], check=False, capture_output=True, timeout=300, env={**os.environ, **variables}
    )


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", EVERY)
def test_help_fits_the_terminal(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = modelcar(*command.split(), "-h")
    assert done.returncode == 0
    for line in done.stdout.splitlines():
        # Words of a command that belong together, and those that have no place to break, are for the terminal to break.
        is_narrow_example = columns < 80 and line.startswith(("  modelcar ", "      --"))
        assert len(line) <= columns or is_narrow_example or len(line.split()) == 1, line
    assert "…" not in done.stdout.replace("sha256:…", "")
    assert " TEXT" not in done.stdout


@pytest.mark.parametrize("columns", [40, 80])
def test_an_example_that_is_too_long_goes_on_as_a_shell_takes_it(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    example = modelcar("serve-yaml", "-h").stdout.partition("Example:\n")[2].partition("\n\n")[0]
    assert len(example.splitlines()) > 1
    quoted = example.strip().replace("modelcar ", "printf '%s ' ", 1).replace("| oc apply -f -", "| cat")
    said = subprocess.run(["sh", "-c", quoted], check=True, capture_output=True, text=True)
    assert said.stdout == "serve-yaml quay.io/my-team/granite:3.3-2b --connection quay-login "


@pytest.mark.parametrize("command", ["run", "plan", "submit", "schedule create"])
def test_the_model_is_the_argument_and_comes_first(command: str) -> None:
    shown = modelcar(*command.split(), "--help").stdout
    assert f"Usage: modelcar {command} [MODEL] [OPTIONS]" in shown
    assert shown.index("[MODEL]  ") < shown.index("  --target IMAGE")
    assert "--model " not in shown
    if command == "schedule create":
        assert shown.index("  --cron CRON") < shown.index("  --target IMAGE")


def test_help_of_run_names_nothing_of_a_cluster() -> None:
    shown = modelcar("run", "--help").stdout
    assert "PersistentVolumeClaim" not in shown
    assert "OpenShift's registry" not in shown
    assert not re.search(r"--\S+-secret|--node-selector|--tolerations|--job-|--build-", shown)


def test_an_option_of_a_cluster_says_where_it_belongs() -> None:
    done = modelcar("run", MODEL, "--node-selector", "a=b")
    assert done.returncode == 2
    assert "modelcar run has no option --node-selector. It is for runs on a cluster: modelcar submit" in done.stderr


def test_ctrl_c_while_the_command_is_still_read_is_one_line() -> None:
    slow = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "modelcar.pod":
            print("reading", flush=True)
            time.sleep(600)
sys.meta_path.insert(0, Slow())
from modelcar.cli.start import main
main()
"""
    command = [sys.executable, "-c", slow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert said == "error: interrupted. Run the same command again to go on where it stopped\n"


@pytest.mark.parametrize("words", [["-V"], ["--version"]])
def test_version(words: list[str]) -> None:
    assert run(*words).stdout.decode().strip() == package.__version__


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], "no such command 'nosuch'"),
        (["runs"], "Did you mean 'run'?"),
        (["run", "--nonsense"], "has no option --nonsense. See modelcar run --help"),
        (["run", "--targt", "x"], "--target"),
        (["verify", "x/y:1", "--key", "k", "--certificate-identity", "i"], "a key or an identity, not both"),
        (["verify", "x/y:1", "--certificate-identity", "i"], "only with the issuer that says so"),
        (["verify", "x/y:1", "--certificate-oidc-issuer", "https://i"], "only with the issuer that says so"),
        (["verify", "x/y:1", "--trusted-root", "root.json"], "only with the issuer that says so"),
        (["verify"], "missing argument"),
        (["status", "--limit", "many"], "--limit"),
        (["run", "no id", "--target", "r.example/a/b:1"], "'no id' is not a model id. Write it as organisation/name"),
        (["run", "a/b", "--model", "c/d"], "two models were named, a/b and c/d"),
        (["run", "a/b"], "no target image was named. Name one: --target"),
        (["run", "--target", "r.example/a/b:1"], "no model was named"),
        (["run", "a/b", "--target", "Quay.io/Team/Model:1"], "The repository must be in lower case"),
        (["run", "a/b", "--target", "model:1"], "'model:1' is not an image reference"),
        (["run", "a/b", "--target", "127.0.0.1:9/x/y:1; rm -rf /"], "is not an image reference"),
        (["run", "a/b", "--target", "r.example/a/b:1", "--builder", "docker"], "Choose one of auto, buildah, direct"),
        (["submit", "a/b", "--build-mode", "x"], "Choose one of auto, pod, nested, job"),
        (["plan", "a/b", "--max-layer-size", "x"], "--max-layer-size"),
        (["plan", "a/b", "--if-exists", "overwrite"], "there is no if-exists 'overwrite'"),
        (["presets", "show", "nosuch"], "there is no preset 'nosuch'"),
        (["doctor", "--nosuch"], "has no option --nosuch"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words: list[str], says: str) -> None:
    done = modelcar(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert says in done.stderr


@pytest.mark.parametrize(
    "words", [["run", "--nonsense"], ["run", "a/b"], ["plan", "no id"], ["verify", "x"], ["status", "--server", ":x"]]
)
def test_errors_are_json_where_json_was_asked_for(words: list[str]) -> None:
    done = modelcar(*words, "--json")
    assert done.returncode in (1, 2)
    told = json.loads(done.stdout)
    assert set(told) == {"error", "remedy"}
    assert told["error"] in done.stderr


def test_a_refused_plan_is_one_json_document(hub: Hub, model: Path, plain_registry: Registry) -> None:
    hub.publish(MODEL, model)
    done = modelcar("plan", MODEL, "--target", f"{plain_registry.host}/a/b:1", "--max-layer-size", "1000000", "--json")
    assert done.returncode == 1
    assert not json.loads(done.stdout)["runs"]
    assert "and --max-layer-size is 1.0 MB" in done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Choose another tag, or if_exists=replace, which moves",
            "Choose another tag, or --if-exists replace, which moves",
        ),
        ("or choose builder=direct.", "or choose --builder direct."),
        ("a layer of 1.5 MB, and max_layer_size is 1.0 MB", "a layer of 1.5 MB, and --max-layer-size is 1.0 MB"),
        ("everything=true", "--everything"),
        ('`node_selector={"a": "b"}`', """`--node-selector '{"a": "b"}'`"""),
        ("mirror_target=r/a/b:1", "--mirror r/a/b:1"),
        ("the model is at its target; a claim", "the model is at its target; a claim"),
        ("https://x.example/?model=a", "https://x.example/?model=a"),
        ("/data/max_layer_size/x and --model=/models", "/data/max_layer_size/x and --model=/models"),
        ("my_model_registry.txt", "my_model_registry.txt"),
    ],
)
def test_remedies_are_in_the_words_of_the_command(said: str, told: str) -> None:
    assert in_options(said) == told


def test_choices_are_those_of_the_steps() -> None:
    held = {"builder": BUILDERS, "build_mode": BUILD_MODES, "if_exists": IF_EXISTS, "model_layout": tuple(LAYOUTS)}
    assert {name: set(CHOICES[name]) for name in held} == {name: set(words) for name, words in held.items()}
    for name, words in CHOICES.items():
        assert parameters()[name].default in words


def test_every_command_and_option_can_be_completed() -> None:
    typed = {"_MODELCAR_COMPLETE": "complete_bash", "COMP_WORDS": "modelcar ", "COMP_CWORD": "1"}
    assert set(COMMANDS) <= set(run(**typed).stdout.decode().split())
    typed |= {"COMP_WORDS": "modelcar run --ta", "COMP_CWORD": "2"}
    assert run(**typed).stdout.decode().split() == ["--target", "--tags"]
    typed |= {"COMP_WORDS": "modelcar schedule ", "COMP_CWORD": "2"}
    assert "create" in run(**typed).stdout.decode().split()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("words", [["verify", "-h"], ["plan", MODEL], ["presets"], ["run", "mödel/…", "--target", "x"]])
def test_no_encoding_ends_in_a_traceback(encoding: str, words: list[str], hub: Hub, model: Path) -> None:
    hub.publish(MODEL, model)
    done = run(*words, PYTHONIOENCODING=encoding, KUBECONFIG="")
    assert b"Traceback" not in done.stderr + done.stdout
    assert (done.stdout + done.stderr).decode(encoding)
