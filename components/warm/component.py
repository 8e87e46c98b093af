"""Pull an image onto nodes before a server needs it there."""

from typing import Dict

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def warm(image: str, nodes: Dict[str, str] = {}, pull_secret: str = "", timeout: int = 7200) -> int:
    """Pull an image onto nodes ahead of time, by a pod on each, so that replicas of its server start in seconds.

    Args:
        image: Image to pull, pinned to its digest.
        nodes: Labels of the nodes. Empty: all that take pods.
        pull_secret: Secret with which the image is pulled. Empty: the service account's own.
        timeout: Seconds that the pulls may take.

    Returns:
        Number of nodes that have the image.
    """
    from modelcar.cluster.connection import Cluster
    from modelcar.errors import ClusterError
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.warm import warm as warm_nodes

    with recorded("warm") as record, exit_with_one_line():
        record.image = image
        cluster = Cluster.find()
        if cluster is None:
            raise ClusterError("there is no cluster", "Run this step in one")
        done = warm_nodes(image, nodes, cluster=cluster, pull_secret=pull_secret, timeout=timeout)
        cold = [node for node in done if node.problem]
        if cold:
            first = cold[0]
            raise ClusterError(
                f"{len(cold)} of {len(done)} nodes did not get it: {first.node}: {first.problem}", first.remedy
            )
    return len(done)
