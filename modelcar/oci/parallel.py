"""Work done by several threads, all of which end soon once one of them fails or the process is told to stop."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from modelcar.errors import ModelcarError
from modelcar.oci.registry import Repository
from modelcar.oci.turns import MAX_LAYERS, PREPARED

WORKERS = MAX_LAYERS + PREPARED
"""Threads. How many of them move bytes is decided by the turns that they hold."""

INTERRUPT_SECONDS = 0.3
"""Time that the others may go on with what they send, once the work has ended."""

GRACE_SECONDS = 2.0
"""Time that the others may take to tidy up, once one has failed, before their connections are cut."""

Result = TypeVar("Result")


def run_together(
    jobs: Sequence[Callable[[], Result]], stop: Callable[[], None], repositories: Sequence[Repository]
) -> list[Result]:
    """Runs jobs in threads; returns their results in the order of the jobs.

    Args:
        jobs: What to do.
        stop: Tells the jobs to end; is called when one has failed.
        repositories: What they talk to; whoever still waits there after GRACE_SECONDS is cut off.

    Raises:
        ModelcarError: The first failure.
    """
    pool = ThreadPoolExecutor(WORKERS)
    futures = [pool.submit(job) for job in jobs]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = next((future for future in futures if future in done and future.exception()), None)
        if failed is not None:
            failed.result()
        results = [future.result() for future in futures]
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, ModelcarError):
            # Layers that are all but there are finished and noted, for the run that takes this one up.
            wait(futures, timeout=GRACE_SECONDS)
        stop()
        _end(futures, repositories)
        raise
    pool.shutdown()
    return results


def _end(futures: Sequence[Future[Result]], repositories: Sequence[Repository]) -> None:
    """Waits for who tidies up: whoever waits for an answer then is interrupted, drops its upload, and is cut off."""
    for seconds, for_good in ((INTERRUPT_SECONDS, False), (GRACE_SECONDS, True)):
        _, busy = wait(futures, timeout=seconds)
        for repository in repositories if busy else ():
            repository.close(for_good=for_good)
