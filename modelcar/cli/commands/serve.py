"""`modelcar serve`: an image served by KServe, from its YAML to the first answer."""

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Annotated

import typer

from modelcar.cli.settings import setting


def serve(
    image: Annotated[str, typer.Argument(help="Image to serve, registry/repository:tag or @sha256:…")],
    name: Annotated[str, typer.Option("--as", help="Name of the InferenceService. Default: the model's.")] = "",
    serving: Annotated[
        str,
        typer.Option(
            help="rhoai-2.25, rhoai-3, kserve, or auto for what the cluster has. "
            "Default: that of `modelcar config`, else auto."
        ),
    ] = "",
    connection: Annotated[str, typer.Option(help="Connection, or pull Secret, with which the image is pulled.")] = "",
    model_format: Annotated[str, typer.Option(help="Model format as KServe calls it; as the build found it.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds until it must be ready.", min=1)] = 7200.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")] = False,
) -> None:
    """Serve an image by KServe in the current project, follow it until it is ready, and ask it one question.

    A service of that name that is there goes on until the new one is ready. What does not become ready, or is cancelled
    (Ctrl-C), is put back as it was.

    Example: `modelcar serve quay.io/my-team/granite:3.3-2b --as granite --connection quay-login`
    """
    from modelcar.cli.server.login import need_cluster
    from modelcar.serving.served_model import read_served_model
    from modelcar.steps.serve.serve import ServeRequest
    from modelcar.steps.serve.serve import serve as run_serve

    cluster = need_cluster()
    output = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=output, flush=True)

    with redirect_stdout(output):
        name = name or read_served_model(image, model_format).name
        request = ServeRequest(
            image, name, serving or setting("serving") or "auto", model_format, connection, None, timeout
        )
        done = run_serve(request, cluster, say)
    if as_json:
        print(json.dumps(asdict(done)))
        return
    times = f"pulled in {done.pull_seconds:.0f} s, started in {done.start_seconds:.0f} s"
    print(f"{done.name} is ready ({times if done.changed else 'unchanged'}) and answered: {done.answer}")
