"""Say what became of a run on Vertex AI."""

from kfp import dsl

from modelcar.components.self_contained import VERTEX_IMAGE, self_contained


@self_contained(__file__, base_image=VERTEX_IMAGE)
# kfp takes what it says of artifacts from under Returns.
def report_on_vertex(
    status: dsl.PipelineTaskFinalStatus,
    model: str,
    project: str,
    location: str,
    report: dsl.Output[dsl.Markdown],
    report_page: dsl.Output[dsl.HTML],
    registered_name: str = "",
    target: str = "",
):
    """Say what became of a run: which version there is and how to deploy it, or what failed and what helps.

    It is an exit handler: it runs at the end of every run. What it may not read, it says, and fails nothing by it.

    Args:
        status: Filled in by Vertex Pipelines: how the other steps ended.
        model: Id of the model on the Hub, organisation/name.
        project: Project of the Model Registry.
        location: Region of the Model Registry.
        registered_name: Name in the Model Registry. Empty: the model's id.
        target: Image that was to be written.

    Returns:
        report: The report; on success with the commands that deploy, ask, undeploy and delete.
        report_page: The same as a web page.
    """
    from pathlib import Path

    from modelcar.steps.report.vertex import EndedVertexRun
    from modelcar.steps.report.vertex import report_on_vertex as run_report

    ended = EndedVertexRun(
        model=model,
        target=target,
        name=registered_name,
        project=project,
        location=location,
        state=status.state or "",
        error=status.error_message or "",
    )
    done = run_report(ended)
    print(done.summary)
    Path(report.path).write_text(done.markdown, encoding="utf-8")
    Path(report_page.path).write_text(done.html, encoding="utf-8")
