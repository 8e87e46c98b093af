"""Bounds on what the Hub may answer to `huggingface_hub`: in time, and never from TLS to plain HTTP."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

from modelcar.deadline import DeadlineError, within
from modelcar.errors import HubError, HubUnwellError
from modelcar.tls import check_authorities
from modelcar.user_input import check_proxies

UNREACHED = "Check the network and the proxy settings; for a mirror of the Hub set HF_ENDPOINT"
"""Remedy where the Hub does not answer."""

CHECK_ENDPOINT = "Check HF_ENDPOINT, and that no proxy or login page answers in the Hub's place"
"""Remedy where something else does."""

ANSWER_SECONDS = 180.0
"""Time that the Hub may take to describe a model, whatever it sends meanwhile."""

T = TypeVar("T")


def within_deadline(ask: Callable[..., T]) -> Callable[..., T]:
    """Decorates a function that asks the Hub: it raises HubUnwellError if the whole takes too long.

    A time-out of `huggingface_hub` is one of each read.
    """

    @functools.wraps(ask)
    def asked(*args: Any, **options: Any) -> T:
        try:
            return within(ANSWER_SECONDS, lambda: ask(*args, **options))
        except DeadlineError:
            raise HubUnwellError(
                f"the Hub does not answer within {ANSWER_SECONDS:.0f} s",
                UNREACHED,
            ) from None

    return asked


def refuse_plain_redirects() -> None:
    """Has the client of `huggingface_hub` refuse redirects from TLS to plain HTTP, which it would follow.

    Raises:
        HubError: The environment names a proxy, or authorities, of which no client can be made.
    """
    try:
        client = get_session()
    except Exception:
        check_proxies(HubError)
        check_authorities(HubError)
        raise
    hooks = client.event_hooks
    if check_redirect not in hooks["response"]:
        client.event_hooks = {**hooks, "response": [*hooks["response"], check_redirect]}


def check_redirect(answer: Any) -> None:
    """Looks at an answer of the Hub before a redirect is followed.

    Raises:
        HubError: It leads from TLS to plain HTTP.
    """
    target = answer.headers.get("location", "")
    if answer.is_redirect and answer.request.url.scheme == "https" and target[:5].lower() == "http:":
        raise HubError(
            f"{answer.request.url.host} redirects from TLS to plain HTTP ({target[:100]}), which is not followed",
            CHECK_ENDPOINT,
        )
