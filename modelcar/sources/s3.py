"""Buckets with a model's files, of any S3 server."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from modelcar import pod
from modelcar.errors import SourceError, SourceUnwellError
from modelcar.sources.shelf import READ_BYTES, name_of
from modelcar.user_input import check_proxy, is_web_address

ATTEMPTS = 5
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>[^?]*))?(\?(?P<query>.*))?")
_QUERY = {"endpoint": "AWS_S3_ENDPOINT", "defaultRegion": "AWS_DEFAULT_REGION"}
"""Form in which OpenShift AI's dashboard writes an object store's address and region into a Model Registry's entry."""

_LOGIN = (
    "Give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or in the Secret that the pipeline's "
    "source_secret names"
)


class S3Shelf:
    """A bucket, or what is below a prefix in it, of any S3 server.

    Login and address are those of AWS's own variables, or of a Secret as OpenShift AI's connections are: a file each
    for AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_S3_ENDPOINT and AWS_DEFAULT_REGION.

    Args:
        uri: s3://bucket/prefix, with `?endpoint=…&defaultRegion=…` where it is not that of the login.

    Raises:
        SourceError: It is no such address.
    """

    def __init__(self, uri: str) -> None:
        match = _S3.fullmatch(uri)
        if match is None:
            raise SourceError(f"{uri!r} is no address in S3", "Write it as s3://bucket/folder")
        self._bucket, prefix = match["bucket"], (match["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self.uri = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self.model = f"{name_of(self._bucket)}/{name_of(prefix.rpartition('/')[2] or self._bucket)}"
        given = dict(parse_qsl(match["query"] or ""))
        if unknown := given.keys() - _QUERY.keys():
            raise SourceError(
                f"{uri!r} says {min(unknown)}, which means nothing here", "Write it as s3://bucket/folder"
            )
        self._given = {_QUERY[name]: value for name, value in given.items()}
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            # Only here: it takes a while to import, and few models lie there.
            import boto3
            from botocore.config import Config

            endpoint = self._setting("AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            if endpoint and not is_web_address(endpoint):
                raise SourceError(
                    f"{endpoint!r} is not the address of an S3 server", "Write AWS_S3_ENDPOINT=https://host"
                )
            check_proxy(endpoint or "https://s3.amazonaws.com", SourceError)
            self._made = boto3.client(
                "s3",
                endpoint_url=endpoint or None,
                region_name=self._setting("AWS_DEFAULT_REGION", "AWS_REGION") or "us-east-1",
                aws_access_key_id=_setting("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=_setting("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=_setting("AWS_SESSION_TOKEN") or None,
                config=Config(
                    connect_timeout=15,
                    read_timeout=60,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                    s3={"addressing_style": "path" if endpoint else "auto"},
                ),
            )
        return self._made

    def _setting(self, *names: str) -> str:
        return next((value for name in names if (value := self._given.get(name) or _setting(name))), "")

    def sizes(self) -> Mapping[str, int]:
        """Returns the objects' sizes by their paths below the prefix.

        Raises:
            SourceError: The bucket may not be listed, is not there, or the server cannot be reached, or has an address
                that is none.
        """
        with self._errors("list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            found = {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}
        # Some programs write an empty object for a folder.
        return {key.removeprefix(self._prefix): size for key, size in found.items() if not key.endswith("/")}

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes of an object from an offset to before another, through connections that break.

        Raises:
            SourceError: It may not be read, or the server went away.
        """
        for attempt in range(ATTEMPTS):
            try:
                while start < end:
                    asked_from = start
                    for chunk in self._chunks(path, start, end):
                        start += len(chunk)
                        yield chunk
                    if start == asked_from:
                        what = f"{path} in {self.uri} became shorter while it was read"
                        raise SourceError(what, "Run again once it is whole")
                return
            except SourceUnwellError:
                if attempt == ATTEMPTS - 1:
                    raise

    def _chunks(self, path: str, start: int, end: int) -> Iterator[bytes]:
        with self._errors(f"read {path} in"):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + path, Range=f"bytes={start}-{end - 1}"
            )
            yield from answer["Body"].iter_chunks(READ_BYTES)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        import botocore.exceptions as botocore

        try:
            yield
        except botocore.NoCredentialsError:
            raise SourceError(f"there is no login to {doing} {self.uri}", _LOGIN) from None
        except botocore.ClientError as error:
            code = error.response["Error"].get("Code", "")
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            remedy = _LOGIN if status in (401, 403) else "Check the address of bucket and folder, and AWS_S3_ENDPOINT"
            kind = SourceUnwellError if status >= 500 or status == 429 else SourceError
            raise kind(f"S3 refused to {doing} {self.uri} ({status} {code})", remedy) from None
        except (botocore.BotoCoreError, OSError) as error:
            raise SourceUnwellError(
                f"cannot {doing} {self.uri}: {' '.join(str(error).split())}", "Check AWS_S3_ENDPOINT and the network"
            ) from None

    def hashes(self) -> Mapping[str, str]:
        """Knows none: what S3 calls an ETag is a hash of parts, if at all."""
        return {}

    def close(self) -> None:
        """Ends all reads."""
        if self._made is not None:
            self._made.close()


def _setting(name: str) -> str:
    """Returns what the mounted Secret says or, where there is none, the environment."""
    try:
        return (pod.SECRETS / "source" / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return os.environ.get(name, "")
