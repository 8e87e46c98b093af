"""`modelcar warm`: an image pulled onto nodes before a server needs it there."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer


def warm(
    image: Annotated[str, typer.Argument(help="Image to pull, best with its digest.")],
    nodes: Annotated[list[str] | None, typer.Option(help="Label of the nodes, name=value; all of several.")] = None,
    pull_secret: Annotated[str, typer.Option(help="Secret with which the image is pulled.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds that the pulls may take.", min=1)] = 7200.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")] = False,
) -> None:
    """Pull an image onto nodes ahead of time, so that replicas of its server start in seconds.

    A pod on each node pulls the image and goes. Exits with 1 if a node did not get it.

    Example: `modelcar warm quay.io/my-team/granite@sha256:… --nodes nvidia.com/gpu.present=true`
    """
    from modelcar.cli.server.login import need_cluster
    from modelcar.cli.usage import UsageError
    from modelcar.steps.warm import warm as warm_nodes

    labels = dict(label.partition("=")[::2] for label in nodes or [])
    if not all(key and value for key, value in labels.items()):
        raise UsageError(f"--nodes {' '.join(nodes or [])} is no label", "Write it as name=value")
    cluster = need_cluster()
    output = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=output, flush=True)

    done = warm_nodes(image, labels, cluster=cluster, pull_secret=pull_secret, timeout=timeout, say=say)
    cold = [node for node in done if node.problem]
    if as_json:
        print(json.dumps([asdict(node) for node in done]))
    for node in cold:
        print(f"{node.node}: {node.problem}. {node.remedy}", file=sys.stderr)
    if cold:
        raise typer.Exit(1)
