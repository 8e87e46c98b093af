"""How the command finds a pipeline server and logs in: OpenShift's ways, which cannot run here, as they were recorded.

The servers are stand-ins; kfp's own client and Kubernetes' own client are what judges them.
"""

import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp
import pytest
from kubernetes import client

from modelcar import pod
from modelcar.cli.server import discovery
from modelcar.cli.server.client import Client
from modelcar.cli.server.login import LOG_IN, authorities, find_token
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from tests.parts import certificates
from tests.parts.certificates import CertificateAuthority
from tests.parts.command import modelcar
from tests.parts.recorded_api import RecordedApi

TOKEN = "sha256~a-login-of-today"
DSPAS = (
    "/apis/datasciencepipelinesapplications.opendatahub.io/v1/namespaces/my-project/datasciencepipelinesapplications"
)
ROUTE = "/apis/route.openshift.io/v1/namespaces/my-project/routes/ds-pipeline-dspa"
HEALTH = "/apis/v2beta1/healthz"
RUNS = "/apis/v2beta1/runs"


def dspa(name: str = "dspa", url: str = "", ready: str = "") -> dict[str, Any]:
    """A DataSciencePipelinesApplication, as the operator leaves it."""
    api_server: dict[str, Any] = {"url": f"https://ds-pipeline-{name}.my-project.svc.cluster.local:8443"}
    if url:
        api_server["externalUrl"] = url
    conditions = [{"type": "Ready", "status": "False" if ready else "True", "reason": "x", "message": ready}]
    return {
        "apiVersion": "datasciencepipelinesapplications.opendatahub.io/v1",
        "kind": "DataSciencePipelinesApplication",
        "metadata": {"name": name, "namespace": "my-project"},
        "spec": {"dspVersion": "v2", "apiServer": {"deploy": True, "enableOauth": True}},
        "status": {"components": {"apiServer": api_server}, "conditions": conditions},
    }


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """Give an authority that nobody knows."""
    return CertificateAuthority(tmp_path / "authority")


@pytest.fixture
def pipelines(authority: CertificateAuthority) -> Iterator[RecordedApi]:
    """Give a pipelines' API behind OpenShift's proxy: TLS, and a token that must be right."""
    with RecordedApi(authority.issue("pipelines"), TOKEN) as api:
        api.answers = {HEALTH: (200, {"multi_user": False}), RUNS: (200, {"runs": [], "total_size": 0})}
        yield api


@pytest.fixture
def cluster(pipelines: RecordedApi) -> Iterator[RecordedApi]:
    """Give an OpenShift with a pipeline server in the project."""
    with RecordedApi() as api:
        api.answers[DSPAS] = (200, {"items": [dspa(url=pipelines.url)]})
        yield api


@pytest.fixture
def logged_in(cluster: RecordedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log in to it, as `oc login` does."""
    file = cluster.kubeconfig(tmp_path / "kubeconfig", TOKEN)
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def trust(cluster: RecordedApi, authority: CertificateAuthority) -> None:
    """Publish the router's authority, as each OpenShift does in each project."""
    text = authority.cert_file.read_text()
    cluster.answers["/api/v1/namespaces/my-project/configmaps/kube-root-ca.crt"] = (
        200,
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": text}},
    )


def test_after_oc_login_nothing_has_to_be_said(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    trust(cluster, authority)
    done = modelcar("status")
    assert done.returncode == 0, done.stderr
    assert "There are no runs yet" in done.stdout
    assert pipelines.seen == [(HEALTH, f"Bearer {TOKEN}"), (RUNS, f"Bearer {TOKEN}")]


@pytest.mark.parametrize("command", [["status"], ["downloads", "--claim", "modelcar"], ["plan", "a/b"]], ids=str)
def test_a_login_that_is_none_is_one_line(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("- no kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(file))
    done = modelcar(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: the kubeconfig {file} cannot be used: it has another form")
    assert done.stderr.count("\n") == 1


def test_a_variable_that_is_empty_names_no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    assert "no pipeline server was named, and there is no login" in modelcar("status").stderr


def test_kfps_own_client_comes_in_the_same_way(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    trust(cluster, authority)
    client = Client.connect()
    bundle = authorities(client.cluster, None)
    stock = kfp.Client(host=client.address, existing_token=TOKEN, ssl_ca_cert=bundle)
    assert stock.list_runs().runs is None or stock.list_runs().runs == []
    assert pipelines.seen[-1] == (RUNS, f"Bearer {TOKEN}")


def test_an_older_operator_does_not_say_the_address_but_there_is_the_route(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    trust(cluster, authority)
    cluster.answers[DSPAS] = (200, {"items": [dspa()]})
    cluster.answers[ROUTE] = (200, {"spec": {"host": pipelines.url.removeprefix("https://")}})
    assert modelcar("status").returncode == 0


def test_authorities_that_the_pipeline_server_was_given_are_trusted(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    one = dspa(url=pipelines.url)
    one["spec"]["apiServer"]["cABundle"] = {"configMapName": "ours", "configMapKey": "ca.pem"}
    cluster.answers[DSPAS] = (200, {"items": [one]})
    maps = "/api/v1/namespaces/my-project/configmaps/ours"
    cluster.answers[maps] = (200, {"data": {"ca.pem": authority.cert_file.read_text(), "readme": "no certificate"}})
    assert modelcar("status").returncode == 0


def test_an_authority_nobody_knows_is_named_with_the_option(
    logged_in: Path, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    refused = modelcar("status")
    assert refused.returncode == 1
    assert f"nobody we trust signed the certificate of {pipelines.url}" in refused.stderr
    assert "--ca FILE" in refused.stderr
    assert modelcar("status", "--ca", str(authority.cert_file)).returncode == 0
    assert "cannot be read" in modelcar("status", "--ca", "/nowhere").stderr


def test_the_bundle_is_one_file_of_certificates(authority: CertificateAuthority) -> None:
    context = ssl.create_default_context(cafile=authorities(None, authority.cert_file))
    assert context.cert_store_stats()["x509_ca"] > 1


def test_a_service_accounts_token_is_read_again_for_each_request(
    pipelines: RecordedApi, authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    client = Client.connect(pipelines.url, ca=authority.cert_file)
    pipelines.token = "another one"
    file.write_text(pipelines.token)
    with client.api_errors("list runs"):
        client.runs.run_service_list_runs()
    assert pipelines.seen[-1] == (RUNS, "Bearer another one")


def test_in_a_pod_it_is_the_service_with_the_pods_own_token(
    cluster: RecordedApi, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = isolated / "serviceaccount"
    folder.mkdir()
    (folder / "namespace").write_text("my-project")
    monkeypatch.setattr(pod, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(isolated / "kubeconfig", TOKEN)))
    with pytest.raises(ClusterError, match=r"https://ds-pipeline-dspa\.my-project\.svc:8443 cannot be reached"):
        Client.connect()


SERVICE = "ds-pipeline-dspa.my-project.svc"
FORBIDDEN = (403, {"kind": "Status", "message": "datasciencepipelinesapplications is forbidden", "code": 403})


@pytest.fixture
def workbench(
    cluster: RecordedApi, authority: CertificateAuthority, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RecordedApi]:
    """Give the pipeline server of a project to a pod in it that may use it and look nothing up, as workbenches may."""
    folder = isolated / "serviceaccount"
    folder.mkdir()
    for name, content in (("namespace", "my-project"), ("token", TOKEN), ("ca.crt", authority.cert_file.read_text())):
        (folder / name).write_text(content)
    monkeypatch.setattr(pod, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(isolated / "kubeconfig", TOKEN)))
    cluster.answers[DSPAS] = FORBIDDEN
    with RecordedApi(authority.issue("service", [SERVICE]), TOKEN) as api:
        api.answers = {HEALTH: (200, {"multi_user": False}), RUNS: (200, {"runs": [], "total_size": 0})}
        found = socket.getaddrinfo
        here = lambda host, *more, **words: found("127.0.0.1" if host == SERVICE else host, *more, **words)  # noqa: E731
        monkeypatch.setattr(socket, "getaddrinfo", here)
        monkeypatch.setattr(discovery, "PORT", api.server_address[1])
        yield api


@pytest.mark.parametrize("bundle", ["service account", "PIPELINES_SSL_SA_CERTS", "mounted", "ConfigMap"])
def test_a_workbench_needs_no_right_to_look_for_the_server(
    bundle: str,
    workbench: RecordedApi,
    cluster: RecordedApi,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = pod.SERVICE_ACCOUNT / "ca.crt"
    if bundle == "service account":
        own.rename(own.with_name("service-ca.crt"))
    elif bundle == "ConfigMap":
        data = {"dsp-ca.crt": own.read_text()}
        cluster.answers["/api/v1/namespaces/my-project/configmaps/dsp-trusted-ca-dspa"] = (200, {"data": data})
        own.unlink()
    else:
        file = own.rename(tmp_path / "ca-bundle.crt")
        if bundle == "mounted":
            monkeypatch.setattr("modelcar.cli.server.login._MOUNTED", (file,))
        else:
            monkeypatch.setenv(bundle, str(file))

    client = Client.connect()

    assert client.address == f"https://{SERVICE}:{workbench.server_address[1]}"
    assert (client.kfp().list_runs().runs or []) == []
    assert {token for _, token in workbench.seen} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_token_is_the_same_however_the_client_library_writes_its_scheme(scheme: str) -> None:
    """It is `Bearer` of a kubeconfig, and `bearer` of a pod's own account."""
    settings: Any = client.Configuration()
    settings.api_key["authorization"] = f"{scheme} {TOKEN}"
    token = find_token(Cluster(client.ApiClient(settings), "my-project"))
    assert token is not None
    assert token() == TOKEN


def test_a_workbench_without_a_server_is_told_that_it_was_assumed(workbench: RecordedApi, closed_port: int) -> None:
    workbench.answers.clear()
    discovery.PORT = closed_port
    with pytest.raises(
        ClusterError, match=r"may not look for the pipeline server; the dashboard puts it there"
    ) as told:
        Client.connect()
    assert "--server https://ds-pipeline-NAME.PROJECT.svc" in told.value.remedy


def test_outside_without_the_right_to_look_it_is_the_dashboards_route(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    trust(cluster, authority)
    cluster.answers[DSPAS] = FORBIDDEN
    refused = modelcar("status")
    assert (
        "may not look for a pipeline server in project my-project, and sees no route ds-pipeline-dspa" in refused.stderr
    )
    assert "Traceback" not in refused.stderr
    cluster.answers[ROUTE] = (200, {"spec": {"host": pipelines.url.removeprefix("https://")}})
    assert modelcar("status").returncode == 0


@pytest.mark.parametrize(
    ("namespace", "names", "works"),
    [
        ("my-project", [SERVICE], True),
        ("other", [SERVICE], False),
        ("my-project", ["somebody.my-project.svc"], False),
    ],
)
def test_a_forwarded_port_speaks_tls_in_its_services_name(
    namespace: str,
    names: list[str],
    works: bool,
    cluster: RecordedApi,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`oc port-forward svc/ds-pipeline-dspa 8443:8443`: the certificate is of the service and not of localhost."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig", TOKEN, namespace)))
    monkeypatch.setattr(certificates, "_LOOPBACK", ())
    with RecordedApi(authority.issue("forwarded", names), TOKEN) as api:
        api.answers = {HEALTH: (200, {"multi_user": False}), RUNS: (200, {"runs": []})}
        server = f"https://localhost:{api.server_address[1]}"
        if works:
            assert Client.connect(server, ca=authority.cert_file).address == server
            assert api.seen == [(HEALTH, f"Bearer {TOKEN}")]
        else:
            with pytest.raises(ClusterError, match=r"certificate"):
                Client.connect(server, ca=authority.cert_file)
            assert api.seen == []


def test_a_port_that_speaks_tls_says_so(pipelines: RecordedApi) -> None:
    with RecordedApi() as plain:
        plain.answers[HEALTH] = (400, "Client sent an HTTP request to an HTTPS server.")
        done = modelcar("status", "--server", plain.url)
    assert f"speaks TLS. Write --server {plain.url.replace('http:', 'https:')}" in done.stderr


def test_a_login_that_ended_says_what_to_type(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi, authority: CertificateAuthority
) -> None:
    trust(cluster, authority)
    pipelines.token = "of tomorrow"
    done = modelcar("status")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"the pipelines' API at {pipelines.url} does not accept this login for project my-project (401)" in line
    assert "oc login --server" in line


def test_a_login_without_a_token_says_what_to_type(
    cluster: RecordedApi, authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(cluster, authority)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    done = modelcar("status")
    assert "wants a login for project my-project (401). A login by certificate has no token for it" in done.stderr
    assert "export KFP_EXISTING_TOKEN=$(oc create token NAME)" in done.stderr
    monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
    assert modelcar("status").returncode == 0


def test_a_token_does_not_go_over_an_open_line(logged_in: Path) -> None:
    with RecordedApi() as plain:
        plain.answers[HEALTH] = (200, {"multi_user": False})
        Client.connect(plain.url)
        assert plain.seen == [(HEALTH, "")]


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "there is no pipeline server in project my-project. To see where there is one: oc get dspa -A"),
        ([dspa("one"), dspa("two")], "several pipeline servers in project my-project: one, two. Name one"),
        (
            [dspa(ready="the database is not there")],
            "has no route, and it is not ready: the database is not there. Forward its port: "
            "oc port-forward -n my-project svc/ds-pipeline-dspa 8443:8443, then --server https://localhost:8443",
        ),
    ],
)
def test_what_hinders_discovery_is_said_with_what_to_type(
    items: list[Any], says: str, logged_in: Path, cluster: RecordedApi
) -> None:
    cluster.answers[DSPAS] = (200, {"items": items})
    done = modelcar("status")
    assert done.returncode == 1
    assert says in done.stderr


def test_a_cluster_without_openshift_ai_names_the_port_to_forward(logged_in: Path, cluster: RecordedApi) -> None:
    del cluster.answers[DSPAS]
    done = modelcar("submit", "--model", "a/b", "--target", "127.0.0.1:9/a/b:1")
    assert done.returncode == 1
    assert (
        "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, then --server http://localhost:8080"
        in done.stderr
    )


def test_no_login_at_all_says_how_to_get_one() -> None:
    done = modelcar("status")
    assert done.returncode == 1
    assert "there is no login to look for one. Log in: oc login" in done.stderr


@pytest.mark.parametrize(
    "answer", [(200, b"<html>Log in</html>"), (302, b""), (404, b"<html>no such page</html>"), (200, {}), (200, [])]
)
def test_what_is_no_cluster_is_said(answer: tuple[int, Any], logged_in: Path, cluster: RecordedApi) -> None:
    cluster.token, cluster.answers["/version"] = "", answer
    done = modelcar("status")
    assert done.returncode == 1
    assert done.stderr == f"error: what answers at {cluster.url} is not the API of a cluster. {LOG_IN}\n"


def test_a_route_that_cannot_be_asked_for_is_not_said_to_be_missing(
    logged_in: Path, cluster: RecordedApi, pipelines: RecordedApi
) -> None:
    cluster.answers[DSPAS] = (200, {"items": [dspa()]})
    cluster.answers[ROUTE] = (503, {"kind": "Status", "message": "etcd is away"})
    done = modelcar("status")
    assert "the cluster refused to look for the route ds-pipeline-dspa (503" in done.stderr


def test_a_cluster_that_refuses_us_is_said(logged_in: Path, cluster: RecordedApi) -> None:
    cluster.token = "of tomorrow"
    done = modelcar("status")
    assert "the cluster refused to look for a pipeline server in my-project (401" in done.stderr


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("ftp://somewhere", "'ftp://somewhere' is not the address of a server. Write --server https://host"),
        ("https://", "is not the address of a server"),
    ],
)
def test_an_address_that_is_none(server: str, says: str) -> None:
    assert says in modelcar("status", "--server", server).stderr


def test_nobody_at_the_forwarded_port(closed_port: int) -> None:
    done = modelcar("status", "--server", f"http://localhost:{closed_port}")
    assert f"the pipelines' API at http://localhost:{closed_port} cannot be reached" in done.stderr
    assert "Is the port forwarded? kubectl port-forward" in done.stderr


@pytest.mark.parametrize("answer", [(200, b"<html>the dashboard"), (200, "<html>"), (200, []), (404, {"some": "page"})])
def test_somebody_else_at_the_address(answer: tuple[int, Any]) -> None:
    with RecordedApi() as other:
        other.answers[HEALTH] = other.answers[RUNS] = answer
        done = modelcar("status", "--server", other.url)
        assert done.returncode == 1
        assert "pipelines' API" in done.stderr
        assert "Traceback" not in done.stderr
        assert urllib.request.urlopen(other.url + HEALTH).status == 200 if answer[0] == 200 else True


def test_a_login_that_ends_in_the_middle_says_how_to_see_the_run_again() -> None:
    run_id = "5f2c81d0-0000-4000-8000-000000000000"
    with RecordedApi() as api:
        api.answers = {HEALTH: (200, {"multi_user": False}), f"{RUNS}/{run_id}": (401, b"")}
        done = modelcar("status", run_id, "--follow", "--server", api.url)
    assert done.returncode == 1
    assert "wants a login (401). The run goes on. A login by certificate has no token for it. Log in: oc" in done.stderr
    assert done.stderr.endswith(f"$(oc create token NAME). See it again: modelcar status {run_id}\n")


def test_a_server_of_many_projects_is_asked_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordedApi() as kubeflow:
        kubeflow.answers = {HEALTH: (200, {"multi_user": True}), RUNS: (200, {"runs": []})}
        lost = modelcar("status", "--server", kubeflow.url)
        assert "serves many projects" in lost.stderr
        monkeypatch.setenv("KUBECONFIG", str(kubeflow.kubeconfig(tmp_path / "kubeconfig", namespace="team")))
        assert modelcar("status", "--server", kubeflow.url).returncode == 0
        assert Client.connect(kubeflow.url).namespace == "team"
        assert Client.connect(kubeflow.url, "other").namespace == "other"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["status"], "oc login"),
        (["cancel", "x"], "oc login"),
        (["submit", "a/b"], "oc login"),
        (["schedule", "list"], "oc login"),
        (["warm", "r.example/a/b:1"], "oc login"),
        (["plan", "a/b"], "or plan for this machine: --here"),
        (["serve-yaml", "r.example/a/b:1"], "or name the platform: --serving rhoai-3"),
    ],
)
def test_a_cluster_that_is_gone_is_one_line(
    words: list[str], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordedApi() as gone:
        monkeypatch.setenv("KUBECONFIG", str(gone.kubeconfig(tmp_path / "kubeconfig")))
    done = subprocess.run(
        [sys.executable, "-m", "modelcar", *words], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: cannot reach the cluster at {gone.url}: [Errno 111] Connection refused. Log in:")
    assert remedy in line
    assert "HTTPSConnection" not in line
