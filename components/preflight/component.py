"""Plan a run and check whether it can succeed."""

from typing import Any, Dict, List, NamedTuple

from kfp import dsl

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def preflight(
    model: str,
    plan: dsl.Output[dsl.Markdown],
    plan_page: dsl.Output[dsl.HTML],
    target: str = "",
    mirror_target: str = "",
    model_registry: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    model_layout: str = "flat",
    adapters: List[str] = [],
    base_image: str = "",
    allow_base_models: bool = False,
    builder: str = "auto",
    build_mode: str = "auto",
    max_layer_size: int = 20_000_000_000,
    reshard: bool = False,
    if_exists: str = "update",
    registered_name: str = "",
    model_format: str = "",
    owner: str = "",
    tags: List[str] = [],
    serve_as: str = "",
    streaming: bool = False,
    claim: str = "modelcar",
    node_selector: Dict[str, str] = {},
    tolerations: List[Dict[str, Any]] = [],
    build_ephemeral_storage: str = "",
    build_cpu: str = "1",
    build_memory: str = "1Gi",
    job_service_account: str = "modelcar-build",
    job_image: str = "",
    source_claim: str = "",
) -> NamedTuple(
    "Outputs",
    [
        ("model", str),
        ("node_selector", dict),
        ("ephemeral_storage", str),
        ("build_mode", str),
        ("unchanged", bool),
        ("image", str),
    ],
):
    """Plan a run from the Hub's metadata and check, before any byte moves, whether it can succeed.

    A run that cannot is refused, with every reason and its remedy as a command to paste. What may not be looked up,
    such as the cluster's nodes, is a warning. The token for gated models is read from HF_TOKEN.

    Args:
        model: Id of the model on the Hub, organisation/name; or s3://bucket/folder, oci://registry/repository:tag or
            pvc://claim/folder, for one that is not there; or its entry, model-registry://name/version.
        target: Image to write, registry/repository:tag. Empty: OpenShift's own registry, in the run's own project.
        mirror_target: Image to copy it to. Empty: no copy.
        model_registry: Address of the Model Registry. Empty: no entry.
        revision: Branch, tag or commit.
        include: Glob patterns such as "*.safetensors"; where there are any, of the weights only what they match is
            taken, and what is of use only with that. Licence, README, configuration and tokenizer stay.
        exclude: Glob patterns of files to leave out.
        everything: Also take duplicate weights and other frameworks' weights, which are left out otherwise.
        allow_pickle: Glob patterns of files to take although they run code when they are loaded (.bin, .pt and other
            Python pickles), which are refused otherwise; "*" for all.
        variant: Which of several alternatives to take: a type (Q4_K_M), a precision (fp16), a format (onnx) or a
            folder. Empty: the loaders' own default; where there is none, the run is refused with a list.
        model_layout: flat (the files lie in the image's /models) or versioned (in /models/1, as OpenVINO Model Server,
            Triton and TensorFlow Serving want it).
        adapters: LoRA adapters to put into the image beside the model, in /models/lora-adapters; each written as a
            model is.
        base_image: Image under the model; empty for the small one that KServe's modelcars need.
        allow_base_models: Also take a base image that holds /models itself, which is refused otherwise: what it has
            there is served with the model.
        builder: buildah, direct or auto, as the build step has it.
        build_mode: pod (buildah in the build task's own pod), nested (in a Job whose pod has a user namespace of its
            own), job (in a privileged Job) or auto: the least privileged that works.
        max_layer_size: Largest layer that the registries take, in bytes. Quay's default limit is 20000000000.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
            Such a file is read twice.
        if_exists: What happens to tags that hold something else already: update (a tag with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.
        registered_name: Name in the Model Registry; empty for the model's id.
        model_format: Model format of the serving runtime. Empty: what was found.
        owner: Who is to answer for the model in the Model Registry. Empty: who is there.
        tags: Labels that the model and the version are to have there.
        serve_as: InferenceService that the run is to serve the model with. Empty: none.
        streaming: Whether the model is streamed from the Hub into the registry: no claim, no build, no nodes to check.
        claim: PersistentVolumeClaim that the run works on.
        node_selector: Labels of the nodes that may run the build.
        tolerations: Taints that the build may ignore, as Kubernetes tolerations.
        build_ephemeral_storage: Node disk that the build reserves, such as 20Gi. Empty: what the plan says it needs.
        build_cpu: Processors that the build requests.
        build_memory: Memory that the build requests.
        job_service_account: Service account of the Job's pod; it must be allowed to run such pods.
        job_image: Image of the Job. Empty: the steps' own.
        source_claim: Claim that is mounted for a model on it. Empty: none is.

    Returns:
        model: The model; for an entry of the Model Registry, what the entry names.
        plan: Files, bytes, layers, what claim and node need, and what was checked.
        plan_page: The same as a web page.
        node_selector: Labels of the nodes for the build task.
        ephemeral_storage: Node disk for the build task to reserve.
        build_mode: Where the build will run: pod, nested or job.
        unchanged: Whether image, mirror, entry and service are there already, so that nothing is left to do.
        image: The image to serve, pinned to its digest, if nothing is left to do; else empty.
    """
    given = dict(locals())

    from collections import namedtuple
    from pathlib import Path

    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.preflight.page import page, show, web_page
    from modelcar.steps.preflight.preflight import preflight as run_preflight
    from modelcar.steps.preflight.request import RunRequest

    with recorded("preflight") as record, exit_with_one_line():
        found = run_preflight(RunRequest.of(given))
        found.note(record)
        Path(plan.path).write_text(page(found), encoding="utf-8")
        Path(plan_page.path).write_text(web_page(found), encoding="utf-8")
        # The artifact of a step that fails is not kept; its log is.
        show(found)
        found.check()
    outputs = namedtuple("Outputs", ["model", "node_selector", "ephemeral_storage", "build_mode", "unchanged", "image"])
    return outputs(
        found.source,
        node_selector,
        found.run.node_storage,
        found.build_mode,
        found.unchanged is not None,
        str(found.unchanged or ""),
    )
