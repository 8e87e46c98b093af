"""The backend's programs, built from Go modules pinned in tests/cluster/programs."""

import ast
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2
from google.protobuf.compiler import plugin_pb2
from google.rpc import status_pb2

from tests.cluster.kfp.python import environment
from tests.parts.go_programs import BuildError, go_programs

_SOURCES = Path(__file__).parents[1] / "programs"
_MODULE = "github.com/kubeflow/pipelines"
# The module proxy serves no version of these two that is new enough. Their Go code is generated again, from the same
# release's Python packages, but for the cache's key, which no package has and which has not changed since.
_PUBLISHED_API = f"{_MODULE}/api@v0.0.0-20250102152816-873e9dedd766"
_CACHE_KEY = Path("v2alpha1", "go", "cachekey", "cache_key.pb.go")
_INTERFACES = {
    "api": "pipeline_spec/pipeline_spec_pb2.py",
    "kubernetes_platform": "kubernetes/kubernetes_executor_config_pb2.py",
}
_ARGO = "github.com/argoproj/argo-workflows/v3"
_NOT_COMPILED = ("docs", "examples", "sdks", "test", "ui", "hack", "community", "dev")
_SIGNALS = Path("workflow", "executor", "os-specific")
_SQLITE = "github.com/mattn/go-sqlite3"
_NO_SQLITE = """\
// Package sqlite3 stands for the real one, which needs a C compiler. The API server names it for its own unit tests'
// sake, and runs on MySQL or PostgreSQL only.
package sqlite3

type Error struct{ Code int }

func (Error) Error() string { return "there is no SQLite" }

const ErrConstraint = 19
"""
_KEPT = "definitions"
_DEFINITIONS = {
    _ARGO: "manifests/base/crds/minimal/argoproj.io_*.yaml",
    _MODULE: "manifests/kustomize/base/pipeline/cluster-scoped/scheduled-workflow-crd.yaml",
}
_GENERATOR = "google.golang.org/protobuf/cmd/protoc-gen-go"
_GENERATOR_RELEASE = 5, 29, 0


def pipelines_programs() -> Path:
    """Builds Kubeflow Pipelines and Argo Workflows, unless the cache has them.

    Returns:
        The folder that holds them.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    return go_programs("kubeflow-pipelines", _SOURCES / "kubeflow_pipelines", prepare=_generate)


def object_store_program() -> Path:
    """Builds versitygw, a gateway that serves a folder as S3 does, unless the cache has it."""
    return go_programs("versitygw", _SOURCES / "versitygw") / "versitygw"


def definitions() -> list[Path]:
    """The files, from the same modules, with the custom resources' definitions and the role of the runs' pods."""
    return sorted((pipelines_programs() / _KEPT).iterdir())


def _generate(build: Path, go: Callable[..., str]) -> None:
    published = _folder(go, _PUBLISHED_API)
    (build / "programs" / _KEPT).mkdir(parents=True)
    for module, files in _DEFINITIONS.items():
        for file in _folder(go, module).glob(files):
            shutil.copyfile(file, build / "programs" / _KEPT / file.name)
    _copy_argo(build, go)
    _module(build / "sqlite3", _SQLITE)
    (build / "sqlite3" / "sqlite3.go").write_text(_NO_SQLITE)
    go("mod", "edit", f"-replace={_SQLITE}=./sqlite3")
    for module in _INTERFACES:
        _module(build / module, f"{_MODULE}/{module}")
    (build / "api" / _CACHE_KEY).parent.mkdir(parents=True)
    shutil.copyfile(published / _CACHE_KEY, build / "api" / _CACHE_KEY)
    go("build", "-o", "protoc-gen-go", _GENERATOR)
    for name, content in _generated(build / "protoc-gen-go").items():
        file = build / Path(name).relative_to(_MODULE)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def _copy_argo(build: Path, go: Callable[..., str]) -> None:
    """Puts a file back that modules cannot have: it is a symbolic link, which they leave out."""
    copy = build / "argo-workflows"
    shutil.copytree(
        _folder(go, _ARGO), copy, ignore=shutil.ignore_patterns(*_NOT_COMPILED), copy_function=shutil.copyfile
    )
    copy.joinpath(_SIGNALS).chmod(0o755)
    shutil.copyfile(copy / _SIGNALS / "signal_darwin.go", copy / _SIGNALS / "signal_linux.go")
    go("mod", "edit", f"-replace={_ARGO}=./argo-workflows")


def _module(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "go.mod").write_text(f"module {name}\n\ngo 1.24.0\n")


def _folder(go: Callable[..., str], module: str) -> Path:
    return Path(json.loads(go("mod", "download", "-json", module))["Dir"])


def _generated(generator: Path) -> dict[str, str]:
    interfaces = [_interface(file) for file in _INTERFACES.values()]
    needed = [
        descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for module in (any_pb2, duration_pb2, struct_pb2, status_pb2)
    ]
    major, minor, patch = _GENERATOR_RELEASE
    request = plugin_pb2.CodeGeneratorRequest(
        file_to_generate=[interface.name for interface in interfaces],
        proto_file=[*needed, *interfaces],
        compiler_version=plugin_pb2.Version(major=major, minor=minor, patch=patch),
    )
    done = subprocess.run([generator], input=request.SerializeToString(), capture_output=True, check=True)
    answer = plugin_pb2.CodeGeneratorResponse.FromString(done.stdout)
    if answer.error:
        raise BuildError(f"{generator.name} failed: {answer.error}")
    return {file.name: file.content for file in answer.file}


def _interface(file: str) -> descriptor_pb2.FileDescriptorProto:
    """Reads an interface out of the generated Python, which cannot be imported beside another release's."""
    (path,) = environment().glob(f"lib/python*/site-packages/kfp/{file}")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            return descriptor_pb2.FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))
    raise BuildError(f"{path} holds no interface")
