"""Plan a run on Vertex AI and check whether it can succeed."""

from typing import Any, Dict, List, NamedTuple

from kfp import dsl

from modelcar.components.self_contained import VERTEX_IMAGE, self_contained


@self_contained(__file__, base_image=VERTEX_IMAGE)
def preflight_on_vertex(
    model: str,
    target: str,
    serving_image: str,
    project: str,
    location: str,
    plan: dsl.Output[dsl.Markdown],
    plan_page: dsl.Output[dsl.HTML],
    run_location: str = "",
    revision: str = "main",
    include: List[str] = [],
    exclude: List[str] = [],
    everything: bool = False,
    allow_pickle: List[str] = [],
    variant: str = "",
    max_layer_size: int = 9_900_000_000,
    reshard: bool = False,
    if_exists: str = "update",
    allow_base_models: bool = False,
    hf_token_secret: str = "",
    registered_name: str = "",
    serving_args: List[str] = [],
    serving_container: Dict[str, Any] = {},
    tensor_parallel: int = 0,
    context_length: int = 0,
    shared_memory_mb: int = 0,
    deployment_minutes: int = 0,
) -> NamedTuple("Outputs", [("serving_args", List[str]), ("serving_container", Dict[str, Any])]):
    """Plan a run on Vertex AI and check, before a byte of weights moves, whether the model can be there and be served.

    A run that cannot succeed is refused, with every reason and its remedy. The server's settings are completed out of
    the model's own configuration; what is given stays as it is.

    Args:
        model: Id of the model on the Hub, organisation/name.
        target: Image to write, such as europe-west4-docker.pkg.dev/my-project/models/granite:3.3-2b.
        serving_image: Image under the model, which is in /models.
        project: Project of the Model Registry and of the secret.
        location: Region of the Model Registry, which pulls the image from the target.
        run_location: Region that this run is in. Empty: not compared.
        revision: Branch, tag or commit.
        include: Glob patterns such as "*.safetensors"; where there are any, of the weights only what they match is
            taken, and what is of use only with that. Licence, README, configuration and tokenizer stay.
        exclude: Glob patterns of files to leave out.
        everything: Also take duplicate weights and other frameworks' weights, which are left out otherwise.
        allow_pickle: Glob patterns of files to take although they run code when they are loaded; "*" for all.
        variant: Which of several alternatives to take, such as Q4_K_M or fp16. Empty: the usual one.
        max_layer_size: Largest layer to make, in bytes. Artifact Registry's quota is 9900000000 unless it was raised.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
        if_exists: What happens to a tag that holds something else already: update, replace or refuse.
        allow_base_models: Also take a serving image that holds /models itself, which is refused otherwise.
        hf_token_secret: Secret Manager's secret with a Hugging Face token, for gated and private models. Empty: none.
        registered_name: Name in the Model Registry. Empty: the model's id.
        serving_args: Arguments of the server.
        serving_container: More of Vertex AI's ModelContainerSpec, by its own names.
        tensor_parallel: GPUs that share the model. 0: as many of 80 GB as hold it.
        context_length: Tokens that the server sees at once. 0: what the model's configuration says, up to 32768.
        shared_memory_mb: Shared memory of the container, in MB. 0: 16384 where several GPUs share the model.
        deployment_minutes: Minutes that a deployment may take. 0: what the image's size asks for, 30 to 120.

    Returns:
        plan: Files, layers, the server's settings, and what was checked.
        plan_page: The same as a web page.
        serving_args: Arguments of the server, completed.
        serving_container: The container, completed.
    """
    given = dict(locals())

    import os
    from collections import namedtuple
    from pathlib import Path

    from modelcar import google_cloud
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.preflight.vertex import VertexRequest, page, web_page
    from modelcar.steps.preflight.vertex import preflight as run_preflight

    with exit_with_one_line():
        if hf_token_secret:
            # Where the Hub's own client looks for it.
            os.environ["HF_TOKEN"] = google_cloud.read_secret(hf_token_secret, project)
        found = run_preflight(VertexRequest.of(given))
        Path(plan.path).write_text(page(found), encoding="utf-8")
        Path(plan_page.path).write_text(web_page(found), encoding="utf-8")
        for finding in found.findings:
            print(f"{finding.verdict}: {finding.about}: {finding}", flush=True)
        found.check()
    outputs = namedtuple("Outputs", ["serving_args", "serving_container"])
    return outputs(list(found.server.args), dict(found.server.container))
