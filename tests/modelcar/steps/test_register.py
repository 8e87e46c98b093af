"""Entries in a real Model Registry, read back over its REST API."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

from modelcar.errors import ModelRegistryError, RegistryError
from modelcar.model_registry import find_ids, is_registered
from modelcar.oci.reference import Reference
from modelcar.steps.download import Downloaded
from modelcar.steps.register import PipelineRun, register
from tests.parts.base_images import push_base_image
from tests.parts.fault_proxy import FaultProxy, Seen
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.registries import Registry
from tests.parts.steps import build, download, stream

API = "/api/model_registry/v1alpha3"


def get(server: ModelRegistryServer, path: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{server.url}{API}/{path}", params={"pageSize": "1000"}, timeout=600)
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def models(server: ModelRegistryServer, name: str) -> list[dict[str, Any]]:
    return [model for model in get(server, "registered_models") if model["name"] == name]


def versions(server: ModelRegistryServer, name: str) -> list[dict[str, Any]]:
    return [
        version
        for model in models(server, name)
        for version in get(server, f"registered_models/{model['id']}/versions")
    ]


def artifacts(server: ModelRegistryServer, name: str) -> list[dict[str, Any]]:
    found = [get(server, f"model_versions/{version['id']}/artifacts") for version in versions(server, name)]
    return [artifact for of_version in found for artifact in of_version]


def everything(server: ModelRegistryServer, name: str) -> list[list[dict[str, Any]]]:
    return [read(server, name) for read in (models, versions, artifacts)]


def properties(entry: dict[str, Any]) -> dict[str, str]:
    return {key: value["string_value"] for key, value in entry["customProperties"].items()}


@pytest.fixture
def image(plain_registry: Registry, downloaded: Downloaded) -> Reference:
    """Give an image of the model."""
    return build(downloaded.directory, f"{plain_registry.host}/registered/model:1", builder="direct").image


def test_entry_says_what_the_image_says(
    image: Reference, downloaded: Downloaded, model_registry_server: ModelRegistryServer
) -> None:
    done = register(str(image), model_registry_server.url, name="says", run=PipelineRun("run-1", "nightly", "team"))

    (model,), (version,), (artifact,) = everything(model_registry_server, "says")
    commit = downloaded.snapshot.commit
    assert (done.model, done.version, done.changed) == ("says", commit[:12], True)
    assert done.uri == artifact["uri"] == f"oci://{image}"
    assert "@sha256:" in artifact["uri"]
    assert (artifact["modelFormatName"], artifact["artifactType"]) == ("vLLM", "model-artifact")
    assert version["name"] == commit[:12]
    assert version["registeredModelId"] == model["id"]
    said = properties(version)
    assert int(said.pop("image_bytes")) > downloaded.snapshot.size
    assert json.loads(said.pop("serving"))["model_format"] == "vLLM"
    assert said.pop("image_recipe").startswith("sha256:")
    assert said == {
        "hub_id": "example/tiny-llama",
        "hub_commit": commit,
        "hub_url": "https://huggingface.co/example/tiny-llama",
        "licence": "Apache-2.0",
        "base_model": "example/tiny-llama-base",
        "base_model_relation": "finetune",
        "weights_bytes": str(downloaded.snapshot.size),
        "image_digest": image.digest,
        "pipeline_run": "run-1",
        "model_type": "generative",
    }


def test_entry_leads_to_the_run_that_made_it(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    run = PipelineRun("0a1b", "nightly granite", "data-science")

    register(str(image), model_registry_server.url, name="linked", run=run)

    (artifact,) = artifacts(model_registry_server, "linked")
    found = {key: artifact[f"modelSource{key}"] for key in ("Kind", "Class", "Group", "Id", "Name")}
    assert found == {
        "Kind": "kfp",
        "Class": "pipelinerun",
        "Group": "data-science",
        "Id": "0a1b",
        "Name": "nightly granite",
    }


def test_entry_is_live_with_its_owner_and_tags(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    register(str(image), model_registry_server.url, name="kept", owner="team-a", tags=["approved"])
    register(str(image), model_registry_server.url, name="kept", tags=["for chat"])
    again = register(str(image), model_registry_server.url, name="kept", owner="team-a", tags=["approved"])

    (model,), (version,), (artifact,) = everything(model_registry_server, "kept")
    assert not again.changed
    assert model["owner"] == version["author"] == "team-a"
    assert model["state"] == version["state"] == artifact["state"] == "LIVE"
    for entry in (model, version):
        assert properties(entry)["approved"] == properties(entry)["for chat"] == ""
        assert properties(entry)["model_type"] == "generative"


def test_predictive_model_is_entered_as_one(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    register(str(image), model_registry_server.url, name="predictive", model_format="onnx")

    assert properties(models(model_registry_server, "predictive")[0])["model_type"] == "predictive"


class OfSomeTime(FaultProxy):
    """Speaks those versions of the API that a server of some time does, before the real server, which is of another.

    The Model Registry's own plan (kubeflow/model-registry v0.3.14, proposals/KEP-0004-api-v1-graduation): v1 is
    v1alpha3 without experiments; both are served for nine months, then v1alpha3 answers 410.
    """

    versions: Mapping[str, str]

    def answer_itself(self, request: Seen, headers: HTTPMessage, body: Iterator[bytes]) -> bytes | None:
        status = self.versions.get(version_of(request.path), "404 Not Found")
        return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode() if status else None

    def _forward(self, upstream: socket.socket, line: str, *given: Any) -> None:
        super()._forward(upstream, line.replace(f"/{version_of(line)}/", "/v1alpha3/", 1), *given)


def version_of(path: str) -> str:
    return path.partition("/api/model_registry/")[2].partition("/")[0]


SERVED = ""
TIMES = {
    "before v1": ({"v1alpha3": SERVED}, "v1alpha3"),
    "both": ({"v1": SERVED, "v1alpha3": SERVED}, "v1"),
    "v1 alone": ({"v1": SERVED, "v1alpha3": "410 Gone"}, "v1"),
    "v1 withdrawn": ({"v1": "410 Gone", "v1alpha3": SERVED}, "v1alpha3"),
}


@pytest.mark.parametrize("time", TIMES)
def test_server_of_any_time_takes_entries(
    time: str, image: Reference, model_registry_server: ModelRegistryServer
) -> None:
    name = f"entered {time}"
    versions, chosen = TIMES[time]
    with OfSomeTime(model_registry_server.url.removeprefix("http://")) as server:
        server.versions = versions
        made = register(str(image), f"http://{server.host}", name=name)
        again = register(str(image), f"http://{server.host}", name=name)

    assert (made.changed, again.changed) == (True, False)
    assert [artifact["uri"] for artifact in artifacts(model_registry_server, name)] == [f"oci://{image}"]
    asked = [version_of(request.path) for request in server.requests]
    assert asked[0] == "v1"
    assert set(asked) == {"v1", chosen}


def test_server_of_a_version_that_nobody_knows_is_named(
    image: Reference, model_registry_server: ModelRegistryServer
) -> None:
    with OfSomeTime(model_registry_server.url.removeprefix("http://")) as server:
        server.versions = {"v9": SERVED, "v1alpha3": "410 Gone"}
        with pytest.raises(ModelRegistryError, match=r"no Model Registry's API \(v1 or v1alpha3\)"):
            register(str(image), f"http://{server.host}", name="unspoken")


def test_name_is_the_models_own_by_default(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    done = register(str(image), model_registry_server.url)

    assert done.model == "example/tiny-llama"
    assert len(versions(model_registry_server, "example/tiny-llama")) == 1


def test_tag_is_resolved_to_its_digest(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    done = register(f"{image.registry}/{image.repository}:1", model_registry_server.url, name="tag")

    assert done.uri == f"oci://{image}"


def test_second_time_changes_nothing(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    register(str(image), model_registry_server.url, name="twice", run=PipelineRun("run-1", "nightly", "team"))
    before = everything(model_registry_server, "twice")

    done = register(str(image), model_registry_server.url, name="twice", run=PipelineRun("run-2", "nightly", "team"))

    assert not done.changed
    assert everything(model_registry_server, "twice") == before


def test_new_commit_is_a_second_version(
    hub: Hub, plain_registry: Registry, model_registry_server: ModelRegistryServer, tmp_path: Path
) -> None:
    images = []
    for content in ("{}", "[]"):
        hub.publish("org/two", {"notes.onnx": content})
        done = download("org/two", tmp_path / "claim")
        images.append(build(done.directory, f"{plain_registry.host}/registered/two:1", builder="direct").image)

    entries = [register(str(image), model_registry_server.url) for image in images]

    assert len({entry.version for entry in entries}) == 2
    assert len(models(model_registry_server, "org/two")) == 1
    assert {version["name"] for version in versions(model_registry_server, "org/two")} == {e.version for e in entries}
    assert {artifact["uri"] for artifact in artifacts(model_registry_server, "org/two")} == {e.uri for e in entries}


def create(server: ModelRegistryServer, path: str, entry: dict[str, Any]) -> str:
    answer = requests.post(f"{server.url}{API}/{path}", json=entry, timeout=600)
    answer.raise_for_status()
    return str(answer.json()["id"])


@pytest.mark.parametrize("finished", ["model", "version"])
def test_half_finished_entry_is_completed(
    finished: str, image: Reference, downloaded: Downloaded, model_registry_server: ModelRegistryServer
) -> None:
    name = f"half-{finished}"
    model = create(model_registry_server, "registered_models", {"name": name})
    if finished == "version":
        entry = {"name": downloaded.snapshot.commit[:12], "registeredModelId": model}
        create(model_registry_server, "model_versions", entry)

    done = register(str(image), model_registry_server.url, name=name)

    (found,), (version,), (artifact,) = everything(model_registry_server, name)
    assert done.changed
    assert (found["id"], artifact["uri"]) == (model, f"oci://{image}")
    assert properties(version)["image_digest"] == image.digest
    assert not register(str(image), model_registry_server.url, name=name).changed


def test_properties_of_people_are_kept(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    register(str(image), model_registry_server.url, name="kept")
    (version,) = versions(model_registry_server, "kept")
    mine = {"metadataType": "MetadataStringValue", "string_value": "yes"}
    said = {**version["customProperties"], "approved": mine, "licence": {**mine, "string_value": "other"}}
    path = f"{model_registry_server.url}{API}/model_versions/{version['id']}"
    requests.patch(path, json={"customProperties": said, "description": "good"}, timeout=600).raise_for_status()

    assert register(str(image), model_registry_server.url, name="kept").changed

    (after,) = versions(model_registry_server, "kept")
    assert properties(after) == {**properties(version), "approved": "yes"}
    assert after["description"] == "good"


def test_same_commit_on_another_base_updates_the_entry(
    image: Reference,
    downloaded: Downloaded,
    plain_registry: Registry,
    model_registry_server: ModelRegistryServer,
    tmp_path: Path,
) -> None:
    register(str(image), model_registry_server.url, name="rebased")
    target = f"{plain_registry.host}/registered/rebased:1"
    base = push_base_image(plain_registry, "registered/base:1", tmp_path)
    rebased = build(downloaded.directory, target, base_image=base, builder="direct").image
    assert rebased.digest != image.digest

    done = register(str(rebased), model_registry_server.url, name="rebased")

    (_,), (version,), (artifact,) = everything(model_registry_server, "rebased")
    assert done.changed
    assert artifact["uri"] == done.uri == f"oci://{rebased}"
    assert artifact["customProperties"]["image_digest"]["string_value"] == rebased.digest
    assert properties(version)["image_digest"] == rebased.digest
    assert not register(str(rebased), model_registry_server.url, name="rebased").changed


@pytest.mark.parametrize(
    "name", ["team/mödel 模型", "a b & c?d=e#f%20", 'it\'s "quoted"', "semi;colon,comma+plus", "x" * 200]
)
def test_name_may_be_any(name: str, image: Reference, model_registry_server: ModelRegistryServer) -> None:
    assert register(str(image), model_registry_server.url, name=name).changed
    assert not register(str(image), model_registry_server.url, name=name).changed

    assert len(models(model_registry_server, name)) == 1
    assert len(artifacts(model_registry_server, name)) == 1


def test_other_format_updates_the_entry(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    register(str(image), model_registry_server.url, name="format")

    assert register(str(image), model_registry_server.url, name="format", model_format="onnx").changed

    (artifact,) = artifacts(model_registry_server, "format")
    assert artifact["modelFormatName"] == "onnx"


def test_server_that_is_down_is_named(image: Reference, closed_port: int) -> None:
    with pytest.raises(ModelRegistryError, match=f"cannot reach the Model Registry at http://127.0.0.1:{closed_port}"):
        register(str(image), f"http://127.0.0.1:{closed_port}")


@pytest.mark.parametrize(
    "url", ["", "registry.example", "registry.example:8080", "ftp://registry.example", "http://", "http://a:b"]
)
def test_malformed_address_is_named(url: str, image: Reference) -> None:
    with pytest.raises(ModelRegistryError, match=r"is not the address of a Model Registry.*https://host:port"):
        register(str(image), url)


def test_token_is_needed_over_tls(image: Reference) -> None:
    with pytest.raises(ModelRegistryError, match=r"wants a token.*MODEL_REGISTRY_TOKEN"):
        register(str(image), "https://registry.example")


def test_other_service_is_named(image: Reference, plain_registry: Registry) -> None:
    with pytest.raises(ModelRegistryError, match=rf"what answers at {plain_registry.url} has no Model Registry's API"):
        register(str(image), plain_registry.url)


class _Page(BaseHTTPRequestHandler):
    status = 200
    body = b"<html>Log in</html>"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET
    do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of a server that answers each request by the same page, with the status that is asked for."""
    handler = type("Handler", (_Page,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("page", [200, 500, 503], indirect=True)
def test_page_is_no_model_registry(page: str, image: Reference) -> None:
    """An OpenShift route shows a page to log in, with status 200, where a token is wrong."""
    with pytest.raises(ModelRegistryError, match=page):
        register(str(image), page)


@pytest.mark.parametrize("number", range(3))
def test_several_runs_at_once_make_one_entry(
    number: int, image: Reference, model_registry_server: ModelRegistryServer
) -> None:
    name = f"at-once-{number}"

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: register(str(image), model_registry_server.url, name=name), range(4)))

    assert {each.uri for each in done} == {f"oci://{image}"}
    assert [len(each) for each in everything(model_registry_server, name)] == [1, 1, 1]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_answer_without_content_is_named_and_the_next_run_completes_it(
    method: str, image: Reference, model_registry_server: ModelRegistryServer
) -> None:
    """A gateway may say that all is well and nothing else, in the place of any answer."""
    with FaultProxy(model_registry_server.url.removeprefix("http://")) as proxy:
        for number in range(8):
            name = f"empty-{method.lower()}-{number}"
            proxy.status(200, method=method, skip=number)
            with suppress(ModelRegistryError):
                register(str(image), f"http://{proxy.host}", name=name)
            proxy.clear()

            assert register(str(image), f"http://{proxy.host}", name=name).uri == f"oci://{image}"
            assert [len(each) for each in everything(model_registry_server, name)] == [1, 1, 1]


def test_the_token_is_the_secrets_or_the_pods_own(
    image: Reference, isolated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    class Asked(_Page):
        status = 500

        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            super().do_GET()

    (isolated / "serviceaccount").mkdir()
    (isolated / "serviceaccount" / "token").write_text("own")
    monkeypatch.setenv("MODEL_REGISTRY_TOKEN_PATH", str(tmp_path / "token"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for expected in ("own", "of-the-secret"):
            with pytest.raises(ModelRegistryError):
                register(str(image), f"http://127.0.0.1:{server.server_port}")
            assert set(seen) == {f"Bearer {expected}"}
            seen.clear()
            (tmp_path / "token").write_text("of-the-secret\n")
        server.shutdown()


@pytest.mark.parametrize("page", [401, 403], indirect=True)
def test_refused_token_is_named(page: str, image: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_TOKEN", "expired")

    with pytest.raises(ModelRegistryError, match=r"refused the token \(40[13]\).*MODEL_REGISTRY_TOKEN"):
        register(str(image), page)


def test_missing_image_is_named_and_not_entered(
    plain_registry: Registry, model_registry_server: ModelRegistryServer
) -> None:
    missing = f"{plain_registry.host}/registered/missing:1"

    with pytest.raises(RegistryError, match=f"there is no image {missing}"):
        register(missing, model_registry_server.url, name="missing")

    assert models(model_registry_server, "missing") == []


def test_foreign_image_is_named_and_not_entered(
    plain_registry: Registry, model_registry_server: ModelRegistryServer, tmp_path: Path
) -> None:
    embedded_oci_layout(tmp_path / "layout")
    foreign = f"{plain_registry.host}/registered/foreign:1"
    command = [
        "skopeo",
        "copy",
        "--all",
        "--dest-tls-verify=false",
        f"oci:{tmp_path}/layout:latest",
        f"docker://{foreign}",
    ]
    subprocess.run(command, check=True, capture_output=True)

    with pytest.raises(ModelRegistryError, match="does not say which model it holds"):
        register(foreign, model_registry_server.url, name="foreign")

    assert models(model_registry_server, "foreign") == []


CARD = """\
---
license: apache-2.0
language:
- en
- de
pipeline_tag: text-generation
library_name: transformers
validated_on:
- RHOAI 2.25
- RHAIIS 3.2
---
# Tiny Llama

Answers in *text*.
"""


def test_model_card_is_entered_as_the_dashboard_reads_it(
    hub: Hub, model: Path, plain_registry: Registry, model_registry_server: ModelRegistryServer, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "README.md").write_text(CARD)
    hub.publish("example/with-card", folder)
    image = stream("example/with-card", f"{plain_registry.host}/with-card:1").image

    made = register(str(image), model_registry_server.url)
    again = register(str(image), model_registry_server.url)

    (found,) = models(model_registry_server, "example/with-card")
    assert (made.changed, again.changed) == (True, False)
    assert found["readme"] == "# Tiny Llama\n\nAnswers in *text*."
    assert found["language"] == ["en", "de"]
    assert found["tasks"] == ["text-generation"]
    assert (found["license"], found["libraryName"], found["provider"]) == ("Apache-2.0", "transformers", "example")
    assert json.loads(found["customProperties"]["validated_on"]["string_value"]) == ["RHOAI 2.25", "RHAIIS 3.2"]
    assert (made.model_id, bool(made.version_id)) == (found["id"], True)


def test_another_owner_or_label_is_something_to_do(
    image: Reference, model_registry_server: ModelRegistryServer
) -> None:
    def is_there(**more: Any) -> bool:
        return is_registered(str(image), model_registry_server.url, name="owned", **more)

    register(str(image), model_registry_server.url, name="owned", owner="team-a", tags=["approved"])

    assert is_there()
    assert is_there(owner="team-a", tags=["approved"])
    assert not is_there(owner="team-b")
    assert not is_there(tags=["approved", "for chat"])


def test_ids_of_an_entry_are_found_by_its_image(image: Reference, model_registry_server: ModelRegistryServer) -> None:
    made = register(str(image), model_registry_server.url, name="identified")

    assert find_ids(str(image), model_registry_server.url, "identified") == (made.model_id, made.version_id)
    assert find_ids(str(image), model_registry_server.url, "not-entered") == ("", "")


def test_card_of_a_newer_commit_takes_the_place_of_the_old(
    hub: Hub, model: Path, plain_registry: Registry, model_registry_server: ModelRegistryServer, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    for text in (CARD, CARD.replace("Answers in", "Answers with")):
        (folder / "README.md").write_text(text)
        hub.publish("example/rewritten", folder)
        image = stream("example/rewritten", f"{plain_registry.host}/rewritten:1").image
        register(str(image), model_registry_server.url, owner="team-a", tags=["approved"])

    (found,) = models(model_registry_server, "example/rewritten")
    assert found["readme"] == "# Tiny Llama\n\nAnswers with *text*."
    assert found["owner"] == "team-a"
    assert properties(found)["approved"] == ""
