"""The pipeline for a model on a claim: preflight, stream, mirror, register; and a report, whatever happens."""

from collections import namedtuple
from typing import List, NamedTuple

from modelcar.pipelines.wiring import pipeline, stream_and_deliver


@pipeline(name="claim-to-registry", display_name="Model on a claim to registry")
def claim_to_registry(
    model: str = "pvc://modelcar/my-model",
    source_claim: str = "modelcar",
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
    hf_token_secret: str = "huggingface-token",
    source_secret: str = "modelcar-source",
    target_secret: str = "modelcar-target-registry",
    mirror_secret: str = "modelcar-mirror-registry",
    model_registry_secret: str = "modelcar-model-registry",
    signing_secret: str = "modelcar-signing-key",
    image_pull_secret: str = "modelcar-image-pull",
) -> NamedTuple("Outputs", [("image", str)]):
    """Stream a model from a claim, such as what a training left there, into your registry and the cluster's own.

    A plan comes first, which refuses what cannot succeed and says what to do; a report comes last, whatever happens.
    Running it again does only what is missing: finished layers and entries stay as they are.

    Args:
        model: The model's folder, as pvc://claim/folder.
        source_claim: The claim again: it is mounted into the steps that read the model, where no other folder is read.
        target: Image to write, such as quay.io/my-team/granite:3.3-2b. Empty: OpenShift's registry, in this project.
        mirror_target: Image to write as well, in the cluster's own registry for instance. Empty: no mirror.
        model_registry: Address of the Model Registry, such as https://registry-rest.apps.example.com. Empty: no entry.
        revision: Commit that the files must be, as a plan or an earlier run named it. main: whatever is there.
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
        max_layer_size: Largest layer that the registries take, in bytes. Quay's default limit is 20000000000.
        reshard: Cut larger safetensors and GGUF files into smaller ones, tensor by tensor. Such files are read twice.
        if_exists: For tags that hold something else. update: one with the same model moves; replace: any; refuse: none.
        registered_name: Name in the Model Registry. Empty: the model's id.
        model_format: Model format of the serving runtime that will serve it, as KServe calls it. Empty: what was found.
        owner: Who answers for the model in the Model Registry. Empty: stays as it is, or modelcar-pipelines.
        tags: Labels of the model and the version in the Model Registry; those that are there stay.
        serving: What the report's YAML is for: rhoai-2.25, rhoai-3, kserve, or auto for what the cluster has.
        connection: Connection, or pull Secret, with which the image is pulled when it is served. Empty: none is needed.
        serve_as: InferenceService to serve the model with in this project, made or brought up to date. Empty: none.
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
    reported = stream_and_deliver(dict(locals()))
    # What is made within an exit handler cannot be a pipeline's output; the report knows it, and is none of its tasks.
    return namedtuple("Outputs", ["image"])(reported.outputs["image"])
