"""Serve an image by KServe, and ask it one question."""

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def serve(
    image: str,
    serve_as: str,
    serving: str = "auto",
    connection: str = "",
    model_format: str = "",
    model_registry: str = "",
    model_id: str = "",
    version_id: str = "",
    timeout: int = 7200,
) -> str:
    """Serve an image by KServe: apply its InferenceService, follow it until it is ready, and ask it one question.

    A service of that name that is there goes on until the new one is ready. What does not become ready, or is
    cancelled, is put back as it was; the error says which of pull, disk, memory, GPU and runtime it was.

    Args:
        image: Image to serve, pinned to its digest.
        serve_as: Name of the InferenceService.
        serving: What serves it: rhoai-2.25, rhoai-3, kserve, or auto for what the cluster has.
        connection: Connection, or pull Secret, with which the image is pulled. Empty: none is needed.
        model_format: Model format of the serving runtime, as KServe calls it. Empty: what was found.
        model_registry: Address of the Model Registry that has the image. Empty: none.
        model_id: Id of the registered model there, by which the dashboard links the two.
        version_id: Id of its version.
        timeout: Seconds until it must be ready.

    Returns:
        What the service answered.
    """
    from modelcar.cluster.connection import Cluster
    from modelcar.errors import ClusterError
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.serving.served_model import RegistryEntry
    from modelcar.steps.serve.serve import ServeRequest
    from modelcar.steps.serve.serve import serve as run_serve

    entry = RegistryEntry.of(model_registry, model_id, version_id)
    with recorded("serve") as record, exit_with_one_line():
        record.image = image
        cluster = Cluster.find()
        if cluster is None:
            raise ClusterError("there is no cluster to serve on", "Run this step in one, or leave serve_as empty")
        done = run_serve(ServeRequest(image, serve_as, serving, model_format, connection, entry, timeout), cluster)
        record.service, record.unchanged, record.answer = done.name, not done.changed, done.answer
        record.pull_seconds, record.start_seconds = done.pull_seconds, done.start_seconds
    print(f"{done.name} answered: {done.answer}")
    return done.answer
