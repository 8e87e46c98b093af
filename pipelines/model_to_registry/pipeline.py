"""The pipeline: preflight, download, build, mirror, register; and a report, whatever happens."""

from collections import namedtuple
from typing import Any, Dict, List, NamedTuple

from kfp import dsl

from modelcar.components.build import build
from modelcar.components.build_in_job import build_in_job
from modelcar.components.download import download
from modelcar.components.preflight import preflight
from modelcar.components.report import report
from modelcar.pipelines import configure
from modelcar.pipelines.wiring import deliver, pipeline, task_of


@pipeline(name="model-to-registry", display_name="Model to registry")
def model_to_registry(
    model: str = "ibm-granite/granite-3.3-2b-instruct",
    target: str = "",
    mirror_target: str = "",
    model_registry: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    transport: str = "http",
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
    serving: str = "auto",
    connection: str = "",
    serve_as: str = "",
    claim: str = "modelcar",
    node_selector: Dict[str, str] = {},
    tolerations: List[Dict[str, Any]] = [],
    build_ephemeral_storage: str = "",
    build_cpu: str = "1",
    build_memory: str = "1Gi",
    job_service_account: str = "modelcar-build",
    job_image: str = "",
    hf_token_secret: str = "huggingface-token",
    source_secret: str = "modelcar-source",
    target_secret: str = "modelcar-target-registry",
    mirror_secret: str = "modelcar-mirror-registry",
    model_registry_secret: str = "modelcar-model-registry",
    signing_secret: str = "modelcar-signing-key",
    image_pull_secret: str = "modelcar-image-pull",
) -> NamedTuple("Outputs", [("image", str)]):
    """Take a model from Hugging Face to an OCI image in your registry, copy it to the cluster's own, and register it.

    A plan comes first, which refuses what cannot succeed and says what to do; a report comes last, whatever happens.
    Running it again does only what is missing: unchanged files, layers and entries stay as they are.

    Args:
        model: Model on Hugging Face, organisation/name; or s3://bucket/folder, oci://image, model-registry://name/1.
        target: Image to write, such as quay.io/my-team/granite:3.3-2b. Empty: OpenShift's registry, in this project.
        mirror_target: Image to copy it to, in the cluster's own registry for instance. Empty: no copy.
        model_registry: Address of the Model Registry, such as https://registry-rest.apps.example.com. Empty: no entry.
        revision: Branch, tag or commit of the model.
        include: Glob patterns, as a JSON list, of the only weights to take. Empty: all that are needed to serve it.
        exclude: Glob patterns, as a JSON list, of files to leave out.
        everything: Also take duplicate weights and those for other frameworks.
        allow_pickle: Files, as a JSON list, to take although they run code when loaded (pickles). ["*"]: all of them.
        variant: Which of several alternatives to take, such as Q4_K_M, fp16, onnx or a folder. Empty: the usual one.
        transport: For the files' bytes. http: several connections; xet: the Hub's protocol; auto: xet if memory allows.
        model_layout: flat: the files lie in /models; versioned: in /models/1, for OpenVINO Model Server and Triton.
        adapters: LoRA adapters, as a JSON list, to put into the image beside the model; each written as a model is.
        base_image: Image to put the model on, such as a serving image. Empty: the small one for KServe modelcars.
        allow_base_models: Also take a base image with files in /models, which are then served with the model.
        builder: buildah, direct (no buildah, no scratch space) or auto (buildah where the step's image has it).
        build_mode: pod (the task's own), nested (a Job in a user namespace), job (privileged) or auto, the least.
        max_layer_size: Largest layer that the target takes, in bytes. Quay's default limit is 20000000000.
        reshard: Cut larger safetensors and GGUF files into smaller ones, tensor by tensor. Such files are read twice.
        if_exists: For tags that hold something else. update: one with the same model moves; replace: any; refuse: none.
        registered_name: Name in the Model Registry. Empty: the model's id.
        model_format: Model format of the serving runtime that will serve it, as KServe calls it. Empty: what was found.
        owner: Who answers for the model in the Model Registry. Empty: stays as it is, or modelcar-pipelines.
        tags: Labels of the model and the version in the Model Registry; those that are there stay.
        serving: What the report's YAML is for: rhoai-2.25, rhoai-3, kserve, or auto for what the cluster has.
        connection: Connection, or pull Secret, with which the image is pulled when it is served. Empty: none is needed.
        serve_as: InferenceService to serve the model with in this project, made or brought up to date. Empty: none.
        claim: PersistentVolumeClaim to work on. It needs the model's size and, with buildah, its largest file again.
        node_selector: Labels, as a JSON object, of the nodes that may run the build, such as {"ai-build-node": "true"}.
        tolerations: Taints, as a JSON list of Kubernetes tolerations, that the build may ignore.
        build_ephemeral_storage: Node disk that the build reserves and may use, such as 2Gi. Empty: what the plan says.
        build_cpu: Processors that the build requests.
        build_memory: Memory that the build requests.
        job_service_account: Service account of the build's Job, if there is one; it must be allowed to be like that.
        job_image: Image of the build's Job, with Python and buildah. Empty: the steps' own.
        hf_token_secret: Secret whose key HF_TOKEN is a Hugging Face token. Needed for gated and private models only.
        source_secret: Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_S3_ENDPOINT, to read models from S3.
        target_secret: Secret (type kubernetes.io/dockerconfigjson) that may push to the target.
        mirror_secret: Secret of the same type that may push to the mirror. Must not be the target's Secret.
        model_registry_secret: Secret whose key token may write to the Model Registry. Without it: the pod's own token.
        signing_secret: Secret with cosign.key and cosign.password, or a Sigstore's files. Without it: no signature.
        image_pull_secret: Secret with which nodes pull the steps' image. Needed for an image of your own only.

    Returns:
        image: The image to serve, pinned to its digest: the mirror's where there is one. Empty if the run failed.
    """
    given = dict(locals())
    reported = task_of(report, given, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    configure.report(reported, target_secret, mirror_secret)

    with dsl.ExitHandler(reported, name="Preflight to register"):
        planned = task_of(preflight, given)
        configure.preflight(
            planned, hf_token_secret, target_secret, mirror_secret, model_registry_secret, signing_secret, source_secret
        )
        place = configure.BuildPlace(
            claim=claim,
            node_selector=planned.outputs["node_selector"],
            tolerations=tolerations,
            build_cpu=build_cpu,
            build_memory=build_memory,
            build_ephemeral_storage=planned.outputs["ephemeral_storage"],
        )

        with dsl.If(planned.outputs["unchanged"] == False, name="Something to do"):  # noqa: E712
            downloaded = task_of(download, given, model=planned.outputs["model"])
            configure.download(downloaded, claim, hf_token_secret, source_secret)
            files = {name: downloaded.outputs[name] for name in ("directory", "record_digest")}

            mode = planned.outputs["build_mode"]
            with dsl.If(mode != "pod", name="Build in a Job"):
                in_job = task_of(build_in_job, place.job_inputs(given), **files, build_mode=mode)
                configure.build(in_job, target_secret, signing_secret)
                place.is_for_job_of(in_job)
            with dsl.Else(name="Build in the task's pod"):
                in_pod = task_of(build, given, **files)
                configure.build(in_pod, target_secret, signing_secret)
                place.is_for(in_pod)

            delivered = deliver(given, dsl.OneOf(in_job.outputs["image"], in_pod.outputs["image"]))

    for task in (reported, planned, downloaded, in_job, in_pod, *delivered):
        configure.pulled_with(task, image_pull_secret)

    # What is made within an exit handler cannot be a pipeline's output; the report knows it, and is none of its tasks.
    return namedtuple("Outputs", ["image"])(reported.outputs["image"])
