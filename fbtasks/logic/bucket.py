"""A bucket of an S3-compatible server: Amazon's, MinIO, Garage, SeaweedFS, Ceph and the like."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from fbtasks.errors import CopyFailed, ExtraMissing
from fbtasks.redaction import redact
from fbtasks.settings import S3Settings

CONNECT_S, ANSWER_S = 5, 20
TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}
MOST_SAID = 300
"""Of an error: some servers answer with pages."""


class Bucket:
    """One bucket; nothing is connected before the first call.

    Raises:
        ExtraMissing: the client is not installed.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._name = settings.bucket
        self._keep = timedelta(days=settings.keep_days)
        self._errors, self._objects = _client(settings)

    def put(self, name: str, content: bytes) -> None:
        """Write an object below the prefix, in place of one of that name.

        Raises:
            CopyFailed: the server is away or refuses it.
        """
        kind = next((kind for suffix, kind in TYPES.items() if name.endswith(suffix)), "application/octet-stream")
        with self._told():
            self._objects.put(name, content, attributes={"Content-Type": kind})

    def reach(self) -> None:
        """Ask whether the bucket is there and lets us in.

        Raises:
            CopyFailed: it is not, or does not.
        """
        with self._told():
            next(iter(self._objects.list(chunk_size=1)), None)

    def clear_out(self, now: float) -> int:
        """Remove the objects below the prefix that are too old at `now` (unix seconds).

        Returns:
            How many.

        Raises:
            CopyFailed: the server is away or refuses it.
        """
        before = datetime.fromtimestamp(now, UTC) - self._keep
        count = 0
        with self._told():
            for found in self._objects.list():
                # One by one: removal in bulk is what servers differ in most.
                for old in [entry["path"] for entry in found if entry["last_modified"] < before]:
                    self._objects.delete(old)
                    count += 1
        return count

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            reason = " ".join(redact(str(error)).split())[:MOST_SAID]
            raise CopyFailed(f"bucket {self._name}: {reason}") from error


def _client(settings: S3Settings) -> tuple[tuple[type[Exception], ...], Any]:
    """What the client raises, and the client."""
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - only where there is a bucket
        from obstore.store import S3Store  # noqa: PLC0415
    except ImportError:
        raise ExtraMissing("evidence.s3: the S3 client is missing; run `pip install fbtasks[s3]`") from None
    login: dict[str, Any] = {}
    if settings.access_key is not None and settings.secret_key is not None:
        login = {"access_key_id": settings.access_key, "secret_access_key": settings.secret_key.get_secret_value()}
    client = S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        endpoint=settings.endpoint,
        region=settings.region,
        virtual_hosted_style_request=settings.endpoint is None,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(seconds=ANSWER_S),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=ANSWER_S)},  # the next run tries again
        **login,
    )
    return (BaseError, OSError), client
