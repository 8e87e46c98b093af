"""The backend's programs, built from Go modules pinned in tests/kubernetes/programs."""

import ast
import shutil
import subprocess
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2
from google.protobuf.compiler import plugin_pb2
from google.rpc import status_pb2

from tests.kubernetes.kfp.preparation import ARGO, PIPELINES, Go, copy_argo, new_module, replace_sqlite
from tests.kubernetes.kfp.python import environment
from tests.parts.go_programs import BuildError, go_programs, module_folder

_SOURCES = Path(__file__).parents[1] / "programs"
_BACKEND = _SOURCES / "kubeflow_pipelines"
# The module proxy serves no version of these two that is new enough. Their Go code is generated again, from the same
# release's Python packages, but for the cache's key, which no package has and which has not changed since.
_PUBLISHED_API = f"{PIPELINES}/api@v0.0.0-20250102152816-873e9dedd766"
_CACHE_KEY = Path("v2alpha1", "go", "cachekey", "cache_key.pb.go")
_INTERFACES = {
    "api": "pipeline_spec/pipeline_spec_pb2.py",
    "kubernetes_platform": "kubernetes/kubernetes_executor_config_pb2.py",
}
_RUN_DEFINITIONS = "manifests/base/crds/minimal/argoproj.io_*.yaml"
_SCHEDULE_DEFINITION = "manifests/kustomize/base/pipeline/cluster-scoped/scheduled-workflow-crd.yaml"
_PIPELINE_DEFINITIONS = "manifests/kustomize/base/crds/pipelines.kubeflow.org_*.yaml"
_GENERATOR = "google.golang.org/protobuf/cmd/protoc-gen-go"
_GENERATOR_RELEASE = 5, 29, 0


def pipelines_programs() -> Path:
    """Builds Kubeflow Pipelines and Argo Workflows, unless the cache has them.

    Returns:
        The folder that holds them.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    return go_programs("kubeflow-pipelines", _BACKEND, prepare=_generate)


def object_store_program() -> Path:
    """Builds versitygw, a gateway that serves a folder as S3 does, unless the cache has it."""
    return go_programs("versitygw", _SOURCES / "versitygw") / "versitygw"


def definitions() -> list[Path]:
    """The files, from the same modules, with the definitions of the custom resources of runs and schedules."""
    runs = sorted(module_folder(_BACKEND, ARGO).glob(_RUN_DEFINITIONS))
    return [*runs, module_folder(_BACKEND, PIPELINES) / _SCHEDULE_DEFINITION]


def pipeline_definitions() -> list[Path]:
    """The files, from the same release, with the definitions of Pipeline and PipelineVersion."""
    return sorted(module_folder(_BACKEND, PIPELINES).glob(_PIPELINE_DEFINITIONS))


def _generate(build: Path, go: Go) -> None:
    copy_argo(module_folder(build, ARGO), build / "argo-workflows")
    go("mod", "edit", f"-replace={ARGO}=./argo-workflows")
    replace_sqlite(build, go)
    for module in _INTERFACES:
        new_module(build / module, f"{PIPELINES}/{module}")
    (build / "api" / _CACHE_KEY).parent.mkdir(parents=True)
    shutil.copyfile(module_folder(build, _PUBLISHED_API) / _CACHE_KEY, build / "api" / _CACHE_KEY)
    go("build", "-o", "protoc-gen-go", _GENERATOR)
    for name, content in _generated(build / "protoc-gen-go").items():
        file = build / Path(name).relative_to(PIPELINES)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


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
