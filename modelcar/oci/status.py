"""Meaning of the status of a registry's answer, whatever the number.

The specification names one status for each success, and registries answer others: ECR 201 to a PATCH,
go-containerregistry's registry 204, some fronts 200. The lists here are no wider than what containers/image and
go-containerregistry accept.
"""

SUCCESS = frozenset({200, 201, 202, 203, 204})
"""The request was done. A 205 or 206 to a write means nothing that we know."""

NO_REFUSAL = frozenset(range(200, 400)) - {301, 302, 303, 307, 308}
"""Answers to bytes or a manifest after which containers/image goes on: their digest shows whether they were kept."""

REFUSED = frozenset({401, 403})
"""Statuses for who may not; Artifactory also gives them to what is not there."""

ABSENT = frozenset({404, 410})
"""Statuses for what is not there."""

LOST = frozenset({400, 404, 409, 410, 412, 416, 422})
"""Answers to an upload: it is not known (any more), or does not go on there. A new one may succeed."""

NOT_SUPPORTED = frozenset({405, 411, 415, 501})
"""The registry knows no such request."""

TOO_LARGE = 413

_MAY_PASS = frozenset({408, 425, 429, 499})
_STAYS = frozenset({501, 505, 506, 508, 510, 511})


def may_pass(status: int) -> bool:
    """Tells whether the same request may succeed later.

    All of 5xx but what names a lack of the server: fronts have numbers of their own (Cloudflare 520 to 530, others 561
    or 598), as https://developers.cloudflare.com/support/troubleshooting/http-status-codes/ shows.
    """
    return status in _MAY_PASS or (status >= 500 and status not in _STAYS)


def limits_us(status: int) -> bool:
    """Tells whether an answer says that nothing was done, because we ask too much or too early."""
    return status in (425, 429)
