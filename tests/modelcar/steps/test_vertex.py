"""Vertex AI: the compiled steps and Google's own upload, run as Vertex Pipelines runs them, against its APIs' types."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kfp.compiler import Compiler

from modelcar import google_cloud
from modelcar.errors import CredentialsError
from modelcar.oci import credentials
from modelcar.pipelines.compilation import documents_in
from modelcar.pipelines.model_to_vertex.pipeline import SERVING_CONTAINER
from modelcar.steps import vertex_upload
from tests.parts.certificates import CertificateAuthority
from tests.parts.google_cloud import Api, ArtifactRegistry, MetadataServer, NameProxy, artifact_registry
from tests.parts.google_cloud.artifact_registry import NAME
from tests.parts.google_cloud.run import ROOT, Run, TaskRun, unresolved
from tests.parts.google_cloud.serving import serving
from tests.parts.google_cloud.vertex import LOCATION, NAMES, PARENT, PROJECT
from tests.parts.hub import Hub

MODEL = "Example/Tiny-Llama.v2"
SERVING_IMAGE = f"{NAME}/my-project/serving/vllm:1"
ENTRY_POINT = ["/usr/bin/serve", "--quiet"]


@dataclass
class Cloud:
    """Google Cloud, as far as it is here."""

    metadata: MetadataServer
    registry: ArtifactRegistry
    api: Api
    authority: CertificateAuthority
    environment: dict[str, str]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the pipeline, compiled."""
    from modelcar.pipelines.model_to_vertex import model_to_vertex

    file = tmp_path_factory.mktemp("compiled") / "model-to-vertex.yaml"
    Compiler().compile(model_to_vertex, str(file))
    return documents_in(file)[0]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start it, with a serving image in its registry."""
    folder = tmp_path_factory.mktemp("cloud")
    authority = CertificateAuthority(folder)
    metadata = MetadataServer()
    api = Api(authority.issue("apis", NAMES), metadata)
    with serving(metadata), serving(api), artifact_registry(folder / "registry", authority, metadata) as registry:
        places = {f"{NAME}:443": registry.address, **{f"{name}:443": api.address for name in NAMES}}
        proxy = NameProxy(places)
        with serving(proxy):
            environment = {
                **metadata.environment(),
                **proxy.environment(),
                "SSL_CERT_FILE": str(authority.cert_file),
                "REQUESTS_CA_BUNDLE": str(authority.cert_file),
                "HOME": str(folder),
                # The stand-in's uploads and blobs lie on this machine.
                "MODELCAR_PRIVATE_STORAGE": NAME,
            }
            cloud = Cloud(metadata, registry, api, authority, environment)
            push_serving_image(cloud, folder)
            yield cloud


@pytest.fixture
def cloud(platform: Cloud, hub: Hub) -> Cloud:
    """Give it with an empty Model Registry and good tokens."""
    platform.api.registry.versions.clear()
    platform.api.registry.uploads.clear()
    platform.api.requests.clear()
    platform.api.secrets.clear()
    platform.api.fails.clear()
    platform.metadata.lifetime = 3600
    platform.metadata.has_account = True
    platform.registry.tokens.lifetime = 300
    platform.environment["HF_ENDPOINT"] = hub.url
    return platform


@pytest.fixture
def published(hub: Hub, model: Path) -> Hub:
    hub.publish(MODEL, model)
    return hub


def skopeo(cloud: Cloud, *words: str | Path) -> str:
    """Run skopeo with a token of the platform's."""
    token = cloud.metadata.issue()["access_token"]
    login = cloud.authority.cert_file.parent.parent / "skopeo.json"
    subprocess.run(
        ["skopeo", "login", "--authfile", login, "--username=oauth2accesstoken", f"--password={token}", NAME],
        check=True,
        env={"PATH": os.environ["PATH"], **cloud.environment},
        capture_output=True,
    )
    done = subprocess.run(
        ["skopeo", *words, "--authfile", login],
        check=True,
        env={"PATH": os.environ["PATH"], **cloud.environment},
        capture_output=True,
        text=True,
    )
    return done.stdout


def push_serving_image(cloud: Cloud, folder: Path) -> None:
    """Put an image with an entry point and a file where the serving image is looked for, as Docker writes it."""
    layout, program = folder / "layout", folder / "serve"
    program.write_text("#!/bin/sh\n")
    settings = [*(f"--config.entrypoint={word}" for word in ENTRY_POINT), "--config.env=SERVER=vllm"]
    for words in (
        ["init", "--layout", layout],
        ["new", "--image", f"{layout}:1"],
        ["insert", "--image", f"{layout}:1", program, "/usr/bin/serve"],
        ["config", "--image", f"{layout}:1", *settings],
    ):
        subprocess.run(["umoci", *words], check=True, capture_output=True)
    skopeo(cloud, "copy", "--format=v2s2", f"oci:{layout}:1", f"docker://{SERVING_IMAGE}")


def chosen(pipeline: dict[str, Any], task: str, values: dict[str, Any]) -> dict[str, Any]:
    """Give the pipeline's parameters that a task takes."""
    inputs = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"][task]["inputs"]["parameters"]
    return {
        name: values[one["componentInputParameter"].removeprefix("pipelinechannel--")]
        for name, one in inputs.items()
        if "componentInputParameter" in one
    }


def succeeded(done: TaskRun) -> TaskRun:
    """Give a task that went well."""
    assert done.returncode == 0, done.log
    assert not unresolved(done.arguments)
    return done


def test_a_model_becomes_a_version_that_vertex_can_serve(
    published: Hub, cloud: Cloud, pipeline: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    run = Run(pipeline, tmp_path / "run", cloud.environment)
    values = run.parameters(
        {"model": MODEL, "target": f"{NAME}/my-project/models/first:1", "serving_image": SERVING_IMAGE}
    )
    planned = succeeded(run.task("preflight-on-vertex", chosen(pipeline, "preflight-on-vertex", values)))
    server = {name: planned.parameters[name] for name in ("serving_args", "serving_container")}
    assert "--max-model-len=" in " ".join(server["serving_args"])
    streamed = succeeded(run.task("stream-on-vertex", {**chosen(pipeline, "stream-on-vertex", values), **server}))
    image, commit = streamed.parameters["image"], streamed.parameters["commit"]
    asked = {**chosen(pipeline, "prepare-upload", values), **server, "image": image, "commit": commit}
    prepared = succeeded(run.task("prepare-upload", asked))
    assert prepared.parameters["missing"] == "model"
    uploaded = uploads(run, "model-upload", values, prepared)

    (request,) = cloud.api.registry.uploads
    check_entry(request, prepared, tmp_path / "run", image=image, commit=commit)
    assert request.parent_model == ""
    assert uploaded.artifacts["model"]["metadata"] == {"resourceName": f"{PARENT}/models/1000@1"}
    assert f"GET /v1/{PARENT}/models/1000/operations/1" in cloud.api.requests, "the upload was not waited for"
    check_image(cloud, image, model, tmp_path)
    check_report(run, values, image)

    again = succeeded(run.task("prepare-upload", asked))
    assert again.parameters == {**prepared.parameters, "missing": "nothing"}
    newer = succeeded(run.task("prepare-upload", {**asked, "image": f"{image[:-4]}beef", "commit": "c" * 40}))
    assert newer.parameters["missing"] == "version"
    added = uploads(run, "model-upload-2", values, newer, parent_model=newer.artifacts["parent_model"])
    assert [request.parent_model for request in cloud.api.registry.uploads] == ["", f"{PARENT}/models/1000"]
    assert added.artifacts["model"]["metadata"] == {"resourceName": f"{PARENT}/models/1000@2"}
    assert cloud.api.registry.get(f"{PARENT}/models/1000").labels["modelcar-commit"] == "c" * 40


def check_report(run: Run, values: dict[str, Any], image: str) -> None:
    """See that the report names the version and its image, and says what a run that failed said."""
    asked = {name: values[name] for name in ("model", "project", "location", "registered_name", "target")}
    good = succeeded(run.task("report-on-vertex", {**asked, "status": {"state": "SUCCEEDED"}}))
    assert f"{PARENT}/models/1000" in good.log
    page = (run.folder / good.artifacts["report_page"]["uri"].removeprefix(f"{ROOT}/")).read_text()
    assert image in page
    assert "gcloud ai endpoints deploy-model" in page
    failed = {"state": "FAILED", "error": {"message": "stream failed: max_layer_size"}}
    bad = succeeded(run.task("report-on-vertex", {**asked, "status": failed}))
    assert "max_layer_size" in bad.log
    page = (run.folder / bad.artifacts["report"]["uri"].removeprefix(f"{ROOT}/")).read_text()
    assert "reshard=true" in page


def uploads(run: Run, task: str, values: dict[str, Any], prepared: TaskRun, **artifacts: Any) -> TaskRun:
    """Run Google's upload with what was prepared."""
    told = {name: values[name] for name in ("project", "location", "version_aliases")}
    told.update({name: prepared.parameters[name] for name in ("display_name", "description", "labels")})
    inputs = {"unmanaged_container_model": prepared.artifacts["container_model"], **artifacts}
    done = succeeded(run.task(task, told, inputs))
    assert done.artifacts["model"]["type"]["schemaTitle"] == "google.VertexModel"
    return done


def check_entry(request: Any, prepared: TaskRun, root: Path, *, image: str, commit: str) -> None:
    """See that the registry was told what is in the image and how it is run."""
    entry, spec = request.model, request.model.container_spec
    assert entry.display_name == MODEL
    assert entry.description == f"{MODEL} at commit {commit}, from Hugging Face"
    assert list(entry.version_aliases) == ["default"]
    assert dict(entry.labels) == {
        "modelcar-model": "example_tiny-llama-v2",
        "modelcar-commit": commit,
        "modelcar-digest": image.partition("@sha256:")[2][:63],
        "modelcar-container": prepared.parameters["labels"]["modelcar-container"],
    }
    assert spec.image_uri == image
    assert list(spec.command) == SERVING_CONTAINER["command"]
    assert {"--model=/models", "--host=0.0.0.0", "--port=8080"} <= set(spec.args)
    assert [port.container_port for port in spec.ports] == [8080]
    assert (spec.predict_route, spec.health_route) == ("/generate", "/ping")
    assert {one.name: one.value for one in spec.env} == {"MODEL_ID": MODEL}
    # The registry copies what lies there, so it must not be empty.
    assert entry.artifact_uri.startswith(ROOT)
    lies_there = root / entry.artifact_uri.removeprefix(f"{ROOT}/") / "modelcar.json"
    assert json.loads(lies_there.read_text()) == {"labels": prepared.parameters["labels"], "image": image}


def check_image(cloud: Cloud, image: str, model: Path, folder: Path) -> None:
    """See that the image is the serving image with the model on top, whose layers were not moved."""
    config = json.loads(skopeo(cloud, "inspect", "--config", f"docker://{image}"))["config"]
    assert config["Entrypoint"] == ENTRY_POINT
    assert "SERVER=vllm" in config["Env"]
    mounts = [request for request in cloud.registry.requests() if "from=my-project/serving/vllm" in request.query]
    assert [request.status for request in mounts] == [HTTPStatus.CREATED]
    skopeo(cloud, "copy", f"docker://{image}", f"oci:{folder}/layout:1")
    unpack = ["umoci", "unpack", "--image", f"{folder}/layout:1", folder / "bundle"]
    subprocess.run(unpack, check=True, capture_output=True)
    within = folder / "bundle" / "rootfs"
    assert (within / "usr/bin/serve").read_text() == "#!/bin/sh\n"
    for name in ("config.json", "model-00001-of-00004.safetensors", "tokenizer.json"):
        assert (within / "models" / name).read_bytes() == (model / name).read_bytes()


def test_tokens_that_end_are_read_again_and_a_secret_opens_a_gated_model(
    hub: Hub, model: Path, cloud: Cloud, pipeline: dict[str, Any], tmp_path: Path
) -> None:
    hub.publish(MODEL, model, gated=True)
    hub.tokens["hf_granted"] = {MODEL}
    hub.faults.delay = 0.5
    cloud.api.secrets[f"projects/{PROJECT}/secrets/hf/versions/latest:access"] = "hf_granted\n"
    cloud.metadata.lifetime = cloud.registry.tokens.lifetime = 2
    cloud.metadata.issued.clear()
    values = {"model": MODEL, "target": f"{NAME}/my-project/models/slow:1", "serving_image": SERVING_IMAGE}
    values |= {"project": PROJECT, "hf_token_secret": "hf"}

    done = succeeded(Run(pipeline, tmp_path, cloud.environment).task("stream-on-vertex", values))

    assert "hf_granted" not in done.log
    assert not cloud.metadata.accepts(cloud.metadata.issued[0]), "the transfer was over before the first token ended"
    assert len(cloud.metadata.issued) > 1
    pushed = [request for request in cloud.registry.requests() if "/models/slow/" in request.path]
    assert HTTPStatus.UNAUTHORIZED not in {request.status for request in pushed if request.method == "PATCH"}


def test_what_cannot_be_done_is_refused_before_any_byte(
    published: Hub, cloud: Cloud, pipeline: dict[str, Any], tmp_path: Path
) -> None:
    run = Run(pipeline, tmp_path, cloud.environment)
    values = {"model": MODEL, "serving_image": SERVING_IMAGE, "project": PROJECT}
    elsewhere = run.task("stream-on-vertex", {**values, "target": "quay.io/team/model:1"})
    assert not published.requests
    taken = run.task("stream-on-vertex", {**values, "target": SERVING_IMAGE})
    assert [elsewhere.returncode, taken.returncode] == [1, 1]
    assert "error: Vertex AI runs images of Artifact Registry alone, not of quay.io" in elsewhere.log
    assert f"error: {SERVING_IMAGE} holds an image that is none of this project's" in taken.log
    assert "Traceback" not in elsewhere.log + taken.log
    # Small files are read to choose among the weights, of which none is.
    assert not [request for request in published.requests if request.path.endswith(".bin") or request.bytes > 1 << 20]


@pytest.fixture
def account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Let this process be on Google Cloud."""
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    # google-auth reads the variable when it is imported.
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", cloud.metadata.address)
    google_cloud.account.cache_clear()
    yield cloud
    google_cloud.account.cache_clear()


def entry(**changes: Any) -> vertex_upload.Entry:
    """Give an entry for an image that is nowhere."""
    image = f"{NAME}/my-project/models/x@sha256:{'0' * 64}"
    given = {"model": MODEL, "commit": "c" * 40, "image": image, "args": [], "container": {}, **changes}
    return vertex_upload.describe(**given)


def upload(cloud: Cloud, what: vertex_upload.Entry, parent: str = "") -> None:
    """Enter it, as ModelUploadOp would."""
    model = {"displayName": what.display_name, "labels": what.labels, "containerSpec": what.container.spec()}
    cloud.api.registry.upload(json.dumps({"model": model, "parentModel": parent}))


def test_what_the_registry_has_is_found_by_name_labels_and_settings(account: Cloud) -> None:
    first, second = entry(), entry(args=["--tensor-parallel-size=2"])
    assert vertex_upload.find(first, PROJECT, LOCATION) == vertex_upload.Known("model")

    # Somebody else's model of that name, and one of that name for another model of the Hub.
    account.api.registry.upload(
        json.dumps({"model": {"displayName": MODEL, "containerSpec": {"imageUri": f"{NAME}/my-project/models/y:1"}}})
    )
    upload(account, entry(model="example/other", name=MODEL))
    assert vertex_upload.find(first, PROJECT, LOCATION).missing == "model"

    upload(account, first)
    known = vertex_upload.find(first, PROJECT, LOCATION)
    assert known.missing == "nothing"
    assert known.model == f"{PARENT}/models/1002"
    assert known.address == f"https://{LOCATION}-aiplatform.googleapis.com/v1/{known.model}"

    assert vertex_upload.find(second, PROJECT, LOCATION).missing == "version"
    upload(account, second, parent=known.model)
    # Both versions count, not the newest alone, though a page holds but one of them.
    assert [vertex_upload.find(one, PROJECT, LOCATION).missing for one in (first, second)] == ["nothing", "nothing"]


def test_what_may_pass_is_tried_again_and_what_the_api_refuses_is_named(
    account: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcar.retries.pause_before", lambda *_: 0.0)
    account.api.fails = [HTTPStatus.SERVICE_UNAVAILABLE]
    assert vertex_upload.find(entry(), PROJECT, LOCATION).missing == "model"
    account.api.fails = [HTTPStatus.FORBIDDEN]
    with pytest.raises(
        google_cloud.GoogleCloudError, match=r"answered 403 to GET https://europe-west4-.*docs/vertex.md"
    ):
        vertex_upload.find(entry(), PROJECT, LOCATION)
    account.api.fails = [HTTPStatus.TOO_MANY_REQUESTS] * 6
    with pytest.raises(google_cloud.GoogleCloudUnwellError, match="answered 429"):
        vertex_upload.find(entry(), PROJECT, LOCATION)
    with pytest.raises(google_cloud.GoogleCloudUnwellError, match="cannot read https://nowhere-aiplatform"):
        vertex_upload.find(entry(), PROJECT, "nowhere")


def test_a_secret_is_named_by_its_name_or_in_full(account: Cloud) -> None:
    account.api.secrets = {
        f"projects/{PROJECT}/secrets/hf/versions/latest:access": "one\n",
        "projects/other/secrets/hf/versions/7:access": "seven",
    }
    assert google_cloud.read_secret("hf", PROJECT) == "one"
    assert google_cloud.read_secret("projects/my-project/secrets/hf", "") == "one"
    assert google_cloud.read_secret("projects/other/secrets/hf/versions/7", "") == "seven"
    with pytest.raises(google_cloud.GoogleCloudError, match=r"answered 404 to GET .*secrets/nothing.*Check the name"):
        google_cloud.read_secret("nothing", PROJECT)


def test_no_login_of_netrc_takes_the_place_of_the_accounts(
    account: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    account.api.secrets = {f"projects/{PROJECT}/secrets/hf/versions/latest:access": "one\n"}

    assert google_cloud.read_secret("hf", PROJECT) == "one"


def test_a_token_is_kept_as_long_as_it_is_good(account: Cloud) -> None:
    account.metadata.issued.clear()
    found = [credentials.find(host, "my-project/models") for host in (NAME, "gcr.io", "eu.gcr.io", f"{NAME}:443")]
    assert {(one.username, one.password) for one in found if one} == {("oauth2accesstoken", account.metadata.issued[0])}
    assert len(account.metadata.issued) == 1
    # A token that ends within minutes is not used any more.
    google_cloud.account.cache_clear()
    account.metadata.lifetime = 100
    assert google_cloud.access_token() != google_cloud.access_token()


def test_a_login_of_ones_own_comes_first_and_other_registries_get_no_token(account: Cloud, isolated: Path) -> None:
    account.metadata.issued.clear()
    for host in ("quay.io", "europe-docker.pkg.dev.evil.example", "evil.example/europe-docker.pkg.dev", "gcr.io.evil"):
        assert credentials.find(host, "team/model") is None
    file = isolated / "auth.json"
    file.write_text(json.dumps({"auths": {NAME: {"username": "_json_key", "password": "{}"}}}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REGISTRY_AUTH_FILE", str(file))
        found = credentials.find(NAME, "my-project/models")
    assert found is not None
    assert found.username == "_json_key"
    assert not account.metadata.issued


def test_a_machine_without_a_service_account_is_named(account: Cloud) -> None:
    account.metadata.has_account = False
    with pytest.raises(CredentialsError, match="Google Cloud's token service gives no token"):
        google_cloud.access_token()


def test_off_google_cloud_the_lack_of_an_account_is_named(tmp_path: Path) -> None:
    """Nobody's credentials are in the files, and no metadata server answers."""
    script = (
        "from modelcar.oci import credentials; from modelcar import google_cloud as g;"
        f"print(credentials.find({NAME!r}, 'my-project/models')); g.read('https://europe-west4-aiplatform.example/v1')"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_GCE_CHECK": "true"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "None\n"
    assert "there is no account of Google Cloud here" in done.stderr
    assert "gcloud auth application-default login" in done.stderr
