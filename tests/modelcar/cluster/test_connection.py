"""Logins to a cluster that cannot be used: kubeconfigs of every wrong kind, and a pod's account without its files."""

from pathlib import Path

import pytest
import yaml

from modelcar import pod
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError

LOG_IN = "Log in again, or name another file in KUBECONFIG"


def kubeconfig(user: object, server: object = "http://127.0.0.1:1", **context: object) -> bytes:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "now", "context": {"cluster": "here", "user": "me", **context}}],
        "current-context": "now",
    }
    return yaml.safe_dump(content).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"just a text", "it has another form than kubectl gives it"),
        (b"- a\n- list", "it has another form than kubectl gives it"),
        (b"clusters: 3\nusers: x\ncontexts: 5\ncurrent-context: now", "it has another form than kubectl gives it"),
        (b"clusters: []\nusers: []\ncontexts: []\ncurrent-context: now", "Expected object with name now"),
        (b"\x00\xff\xfe\x01", "'utf-8' codec can't decode byte 0xff"),
        (b"broken: {yaml", "while parsing a flow mapping"),
        (kubeconfig({"tokenFile": "/nope"}), "/nope: No such file or directory"),
        (kubeconfig({"auth-provider": {"name": "gcp"}}), "default credentials were not found"),
        (kubeconfig({"token": "tok→en"}), "its token has letters that no token has"),
        (kubeconfig({"token": "tok\nen"}), "its token has letters that no token has"),
        (kubeconfig({}, server="http://["), "'http://[' is not the address of a server"),
        (kubeconfig({}, server="https://api:port"), "'https://api:port' is not the address of a server"),
        (kubeconfig({}, server="api"), "'api' is not the address of a server"),
        (kubeconfig({}, server=[1]), "it has another form than kubectl gives it"),
        (kubeconfig({}, namespace=[1]), "[1] is no namespace"),
    ],
)
def test_a_kubeconfig_that_is_none_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)

    with pytest.raises(ClusterError) as raised:
        Cluster.of(str(file))

    assert str(raised.value).startswith(f"the kubeconfig {file} cannot be used: ")
    assert says in str(raised.value)
    assert raised.value.remedy == LOG_IN


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=rf"the kubeconfig {tmp_path} cannot be used: .*Is a directory. {LOG_IN}"):
        Cluster.of(str(tmp_path))


def test_an_account_without_its_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pod.SERVICE_ACCOUNT.mkdir()
    (pod.SERVICE_ACCOUNT / "namespace").write_text("my-project")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    with pytest.raises(ClusterError, match="this pod's service account cannot be used: Service token file"):
        Cluster.find()
