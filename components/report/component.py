"""Say what became of a run, and tidy up after it."""

from typing import NamedTuple

from kfp import dsl

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def report(
    status: dsl.PipelineTaskFinalStatus,
    report: dsl.Output[dsl.Markdown],
    report_page: dsl.Output[dsl.HTML],
    figures: dsl.Output[dsl.Metrics],
    inference_service: dsl.Output[dsl.Artifact],
    llm_inference_service: dsl.Output[dsl.Artifact],
    run_id: str = "",
    model: str = "",
    target: str = "",
    mirror_target: str = "",
    model_format: str = "",
    serving: str = "auto",
    connection: str = "",
    model_registry: str = "",
    serve_as: str = "",
) -> NamedTuple("Outputs", [("image", str)]):
    """Say what became of a run: where the image is and how to serve it, or which step failed, why and what helps.

    It is an exit handler: it runs at the end of every run. What it may not read, it says, and fails nothing by it. It
    also deletes the run's Jobs that are still there; the download stays on the claim.

    Args:
        status: Filled in by the pipeline's backend: how the other steps ended.
        run_id: Id of the run.
        model: Id of the model on the Hub, organisation/name.
        target: Image that was to be written.
        mirror_target: Image that it was to be copied to. Empty: none.
        model_format: Model format that the serving runtime supports, as KServe calls it. Empty: what was found.
        serving: What the YAML is written for: rhoai-2.25, rhoai-3, kserve, or auto for what the cluster has.
        connection: Connection, or pull Secret, with which the image is pulled when it is served. Empty: none is needed.
        model_registry: Address of the Model Registry that has the image. Empty: none.
        serve_as: Name of the InferenceService. Empty: the model's.

    Returns:
        report: The report; on success with what to apply to serve the image.
        report_page: The same as a web page, with a picture of the disks: the claim's use, and the nodes' own.
        figures: Seconds and bytes of the run and its steps.
        inference_service: YAML to download and apply: the InferenceService, with its serving runtime if it needs one.
        image: The image that was made, pinned to its digest: the mirror's where there is one. Empty if the run failed.
        llm_inference_service: YAML to download and apply: the LLMInferenceService of OpenShift AI 3.4 and newer.
    """
    from collections import namedtuple
    from pathlib import Path

    from modelcar.steps.report.page import EndedRun
    from modelcar.steps.report.report import report as run_report

    done = run_report(
        EndedRun(
            run_id,
            status.state or "",
            status.error_message or "",
            model=model,
            target=target,
            mirror_target=mirror_target,
            model_format=model_format,
            serving=serving,
            connection=connection,
            model_registry=model_registry,
            serve_as=serve_as,
        )
    )
    # The log is what everybody may read who may see the run; artifacts lie in a store with a login of its own.
    print(f"{done.summary}\n\n{done.markdown}")
    Path(report.path).write_text(done.markdown, encoding="utf-8")
    Path(report_page.path).write_text(done.html, encoding="utf-8")
    Path(inference_service.path).write_text(done.inference_service, encoding="utf-8")
    Path(llm_inference_service.path).write_text(done.llm_inference_service, encoding="utf-8")
    for name, value in done.figures.items():
        figures.log_metric(name, value)
    return namedtuple("Outputs", ["image"])(done.image)
