"""What README and docs say is true: each command is run, or as much of it as can be, and the shown output is real."""

import functools
import html
import importlib.util
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.cluster.failures import failures
from tests.parts.command import Done, modelcar
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.registries import BasicAuthRegistry, TokenAuthRegistry
from tests.parts.run_states import FOLDER as RUN_STATES
from tests.parts.run_states import as_object, run_state
from tests.parts.steps import stream

Run = Callable[[list[str]], Done | subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob("[!.]*/*/README.md")]
)
PROGRAMS = ("make", "git", "oc", "buildah", "modelcar", ".venv/bin/modelcar", "pre-commit")


def commands() -> list[str]:
    """Every command that a page shows as a block of its own, with its continuation lines."""
    found: dict[str, None] = {}
    # The commands' own help, whose lines are broken anywhere.
    for page in [page for page in PAGES if page.name != "command.md"]:
        text = re.sub(r"\\\n\s*", "", page.read_text())
        for line in re.findall(r"^ {4,}(.+)$", text, re.MULTILINE):
            for command in re.split(r"\s+&&\s+|\s+#\s", line):
                if command.split(maxsplit=1)[0] in PROGRAMS:
                    found[command.strip()] = None
    return list(found)


@pytest.fixture
def run_documented(
    hub: Hub,
    model: Path,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    model_registry_server: ModelRegistryServer,
    log_in: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs a modelcar command of the docs with the parts of this machine in the place of quay.io and the like."""
    log_in(basic_registry, token_registry)
    hub.publish("ibm-granite/granite-3.3-2b-instruct", model)
    quantized = {f"Qwen3-8B-{kind}.gguf": b"GGUF" + bytes(2_000_000) for kind in ("Q4_K_M", "Q8_0")}
    hub.publish("unsloth/Qwen3-8B-GGUF", {"config.json": "{}", **quantized})
    speaker = pickle.dumps({"voices": ["Chelsie", "Ethan"]})
    weights = {
        "config.json": '{"model_type": "qwen2_5_omni"}',
        "model.safetensors": model / "model-00001-of-00004.safetensors",
    }
    hub.publish("Qwen/Qwen2.5-Omni-7B", {**weights, "spk_dict.pt": speaker})
    places = {
        "quay.io": basic_registry.host,
        "registry.apps.example.com": token_registry.host,
        "https://registry-rest.apps.example.com": model_registry_server.url,
    }

    shutil.copytree(model, tmp_path / "out" / "granite-tuned")

    monkeypatch.chdir(tmp_path)

    def run(words: list[str]) -> Done | subprocess.CompletedProcess[str]:
        for public, local in places.items():
            words = [word.replace(public, local) for word in words]
        if words[0] in ("verify", "serve-yaml"):
            stream("ibm-granite/granite-3.3-2b-instruct", words[1])
        if words[0] != "run":
            return modelcar(*words)
        # Its steps are processes of their own, and find it by its variables alone.
        program = Path(sys.executable).with_name("modelcar")
        return subprocess.run([program, *words], check=False, capture_output=True, text=True)

    return run


def test_there_are_commands_to_check() -> None:
    assert {command.split()[0] for command in commands()} >= {"make", "oc", "buildah", ".venv/bin/modelcar"}


def modelcar_commands(*, remote: bool) -> list[list[str]]:
    """Those that work on this machine, or those that talk to a pipeline server; as words."""
    every = {tuple(shlex.split(command)[1:]) for command in commands() if "modelcar" in command.split()[0]}
    return [[*words] for words in sorted(every) if (words[0] in ("submit", "status", "cancel", "schedule")) == remote]


@pytest.mark.parametrize("words", modelcar_commands(remote=False), ids=" ".join)
def test_documented_modelcar_command_works(words: list[str], run_documented: Run) -> None:
    done = run_documented(words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", modelcar_commands(remote=True), ids=" ".join)
def test_documented_remote_command_lacks_nothing_but_a_server(words: list[str], run_documented: Run) -> None:
    """That a server takes them all is shown in tests/kubernetes/test_docs.py."""
    done = run_documented(words)
    assert done.returncode == 1
    assert ("cannot be reached" if "--server" in words else "no pipeline server was named") in done.stderr


@pytest.mark.parametrize("command", [command for command in commands() if command.split()[0] == "make"])
def test_documented_target_exists(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize("command", [command for command in commands() if command.split()[0] == "oc"])
def test_documented_oc_command_is_right(command: str) -> None:
    """That a cluster takes them all is shown in tests/kubernetes/test_docs.py."""
    words = shlex.split(command)
    if words[1:3] in (["apply", "-k"], ["delete", "-k"]):
        assert (ROOT / words[3] / "kustomization.yaml").is_file()
    if words[1:3] == ["create", "secret"]:
        compiled = (ROOT / "compiled/model-to-registry.yaml").read_text()
        assert f"defaultValue: {words[4]}\n" in compiled


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            goal = page.parent / path if path else page
            assert goal.exists(), link
            assert not anchor or anchor in anchors(goal), link


def anchors(page: Path) -> list[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def snippets() -> list[dict[str, Any]]:
    """Every YAML document that a page shows."""
    found = (re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES)
    return [document for blocks in found for block in blocks for document in yaml.safe_load_all(block)]


@pytest.mark.parametrize("document", snippets(), ids=lambda document: document["kind"])
def test_documented_yaml_is_what_it_should_be(document: dict[str, Any]) -> None:
    # The client drops what Kubernetes does not know.
    assert client.ApiClient().sanitize_for_serialization(as_object(document, f"V1{document['kind']}")) == document


def test_every_reason_that_a_report_gives_is_explained() -> None:
    states = [run_state(file.stem) for file in RUN_STATES.glob("*.json")]
    explained = (ROOT / "docs/ml-engineer.md").read_text().partition("## When it fails")[2]
    reasons = {failure.reason for state in states for failure in failures(state)}
    # `Error` is a step's own last words; a lost node has many names.
    missing = [reason for reason in reasons - {"Error", "DeletionByTaintManager"} if f"| `{reason}`" not in explained]
    assert len(reasons) > 8
    assert missing == []


def test_every_message_that_is_explained_is_one_of_ours() -> None:
    rows = (ROOT / "docs/ml-engineer.md").read_text().partition("## When it fails")[2]
    quoted = [
        words for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE) for words in re.findall(r"`(.+?)`", row)
    ]
    ours = " ".join(path.read_text() for path in ROOT.glob("modelcar/**/*.py"))
    clusters = " ".join(path.read_text() for path in RUN_STATES.glob("*.json"))
    assert len(quoted) > 10
    assert [words for words in quoted if not all(part.strip() in ours + clusters for part in words.split("…"))] == []


def test_parameters_page_is_what_the_docstrings_say() -> None:
    generator = parameters()
    assert generator.page() == generator.PAGE.read_text(), "run `make docs`"
    assert set(generator.names("pipelines")) == {
        "claim_to_registry",
        "model_to_registry",
        "model_to_registry_streaming",
        "model_to_vertex",
    }
    assert len(generator.names("components")) > 7


def test_the_commands_page_is_what_they_show() -> None:
    generator = script("command")
    assert generator.page() == generator.PAGE.read_text(), "run `make docs`"


def test_the_docs_are_a_site(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    pages = {file.parent.name for file in tmp_path.glob("*/index.html")}
    assert {"ml-engineer", "command", "parameters", "own-pipelines", "own-models", "questions"} <= pages
    fetched = re.findall(
        r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?://[^\s\">]+)", (tmp_path / "index.html").read_text()
    )
    assert fetched == [], "a disconnected cluster's browser would wait for them"


def parameters() -> Any:
    """docs/parameters.py, which is in no package."""
    return script("parameters")


@functools.cache
def script(name: str) -> Any:
    """A script of docs/, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_api_reference_is_made_from_the_docstrings_without_a_network(tmp_path: Path) -> None:
    recipe = re.search(r"^\t\$\(BIN\)/pdoc (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    words = shlex.split(recipe[1])
    words[words.index("--output-directory") + 1] = str(tmp_path)
    # Of two rooms: all of them would take half a minute of a processor, and show no more.
    rooms = words.index("modelcar")
    words[rooms:] = ["modelcar.steps.mirror", "modelcar.components.download"]
    subprocess.run([sys.executable, "-m", "pdoc", *words], check=True, cwd=ROOT, capture_output=True)
    written = html.unescape((tmp_path / "modelcar/steps/mirror.html").read_text())
    assert "Copies an image, with every platform it has and all that is attached to it, and compares" in written
    assert (tmp_path / "modelcar/components/download.html").is_file()


def test_the_claim_of_the_manifests_is_the_one_that_pipelines_expect() -> None:
    claim = yaml.safe_load((ROOT / "manifests/namespace/claim.yaml").read_text())
    compiled = yaml.safe_load((ROOT / "compiled/model-to-registry.yaml").read_text().split("---\n")[0])
    parameters = compiled["root"]["inputDefinitions"]["parameters"]
    assert claim["metadata"]["name"] == parameters["claim"]["defaultValue"]


def test_containerfile_copies_what_there_is_and_installs_what_is_tested() -> None:
    for source in re.findall(r"^COPY (\S+) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE):
        assert (ROOT / source).exists(), source
    pins = re.compile(r"^([a-z0-9._-]+==\S+)", re.MULTILINE)
    tested = set(pins.findall((ROOT / "requirements/dev.txt").read_text()))
    assert set(pins.findall((ROOT / "requirements/runtime.txt").read_text())) <= tested


def test_no_command_goes_unchecked() -> None:
    checked = ("make", "oc", "modelcar", ".venv/bin/modelcar")
    # Cloning and pre-commit are the reader's own; the image is built by hand (it needs a base from the network).
    by_hand = ("git", "pre-commit", "buildah")
    assert {command.split()[0] for command in commands()} <= {*checked, *by_hand}


def test_readme_shows_what_the_demo_prints() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.demo"], check=True, cwd=ROOT, capture_output=True, text=True)
    printed = [_stable(line) for line in done.stdout.splitlines()]
    shown = [
        _stable(line)
        for line in (ROOT / "README.md").read_text().partition("```\n")[2].partition("```")[0].splitlines()
    ]
    assert len(shown) > 15
    assert [line for line in shown if line and line not in printed] == []
    assert json.loads(done.stdout[done.stdout.rindex("[\n") :])[0]["uri"].startswith("oci://localhost:")


def test_figures_in_the_readme_are_the_measured_ones() -> None:
    measured = json.loads((ROOT / "benchmarks/results.json").read_text())
    table = (ROOT / "README.md").read_text().partition("<!-- figures -->")[2].partition("<!-- /figures -->")[0]
    rows = re.findall(r"^\| [^|]{12,} \| ([\d.]+) \| `(\w+)` \|$", table, re.MULTILINE)
    shown = {name: value for value, name in rows}
    assert len(shown) > 5
    assert {name: float(value) for name, value in shown.items()} == {name: measured[name] for name in shown}


def _stable(line: str) -> str:
    """A line without colours, ports, measured times and the reader's home."""
    bare = re.sub(r"\x1b\[[0-9;]*m", "", line)
    bare = re.sub(r"^(✓ \S+) +(?:\d+ s)? *", r"\1 ", bare)
    bare = re.sub(r"^(report +)\S+/modelcar/reports/", r"\1REPORTS/", bare)
    return re.sub(r":\d{4,5}/", ":PORT/", bare).rstrip()


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_every_promise_names_a_test_that_there_is(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`(tests/[^`]+)`", text))

    missing = []
    for place in sorted(named):
        file, _, function = place.partition("::")
        path = ROOT / file
        source = path.read_text() if path.is_file() else ""
        if not path.exists() or (function and f"def {function}(" not in source):
            missing.append(place)

    assert missing == []
    tables = [line for line in text.splitlines() if line.startswith("| ") and "held by" not in line]
    promises = text.partition("## What is promised")[2].partition("## Who may do what")[0]
    assert all("`tests/" in line for line in tables if line in promises and line.strip("| -"))


def test_every_row_on_registries_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs/registries.md").read_text()
    heads = re.findall(r"^(\|.*)\n\|---", text, re.MULTILINE)
    rows = [line for line in text.splitlines() if line.startswith("| ") and line not in heads]
    assert len(rows) > 50
    assert [row for row in rows if "::" not in row] == []
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)::([\w:]+)`", text))
    assert [name for name in sorted(named) if f"def {name[1].split('::')[-1]}(" not in sources.get(name[0], "")] == []


@pytest.mark.parametrize(
    "search",
    [
        "kserve oci storageUri permission denied",
        "push 48GB image to quay timeout",
        "buildah ephemeral storage evicted",
        "private hugging face model openshift ai",
    ],
)
def test_what_people_search_for_is_a_heading(search: str) -> None:
    headings = [heading for page in PAGES for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)]

    def words(text: str) -> set[str]:
        plain = re.sub(r"(\d+) gb", r"\1gb", text.lower().replace("ephemeral-storage", "ephemeral storage"))
        plain = plain.replace("pushing", "push").replace("models", "model")
        return set(re.findall(r"[a-z0-9]+", plain))

    assert [heading for heading in headings if words(search) <= words(heading)]
