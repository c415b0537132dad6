"""One picture's way through the stages as an OpenTelemetry trace, for a share of the pictures.

Nothing of it travels with the picture: the trace's identity, whether it is traced, and the identity of its first span
follow from camera, number and capture time, which every stage has. So each stage tells its own part by itself, other
builds and foreign producers need to know nothing, and the parts meet where they are gathered. The first span, `frame`,
from capture to decision, is told by the logic; a picture that was dropped has parts, and no first span.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from fbtasks import __version__
from fbtasks.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

PATH = "/v1/traces"
_TRACE_BYTES, _SPAN_BYTES = 16, 8


class Traceable(Protocol):
    """What names a picture; a frame, a result and a decision do."""

    @property
    def camera_id(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def captured_at(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Of a picture's trace: its id, that of its first span, and where it lies in the sample, 0 to 1."""

    trace_id: int
    span_id: int
    draw: float


def identity_of(picture: Traceable) -> Identity:
    """The identity of the picture's trace, everywhere the same."""
    name = f"{picture.camera_id}|{picture.seq}|{picture.captured_at:.6f}".encode()
    digest = blake2b(name, digest_size=_TRACE_BYTES + _SPAN_BYTES + 4).digest()
    ids, draw = digest[:-4], int.from_bytes(digest[-4:], "big") / 2**32
    # An id of zeros is none.
    return Identity(
        int.from_bytes(ids[:_TRACE_BYTES], "big") or 1, int.from_bytes(ids[_TRACE_BYTES:], "big") or 1, draw
    )


class Traces:
    """Tells spans of the pictures in the sample; any thread may.

    Args:
        exporter: where spans go; None: to the settings' endpoint.

    Raises:
        ImportError: OpenTelemetry is not installed.
    """

    def __init__(self, settings: TraceSettings, role: str, exporter: "SpanExporter | None" = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._sample = settings.sample
        self._resource = Resource({"service.name": f"fbtasks-{role}", "service.version": __version__})
        self._out = BatchSpanProcessor(exporter or OTLPSpanExporter(settings.endpoint.rstrip("/") + PATH))

    def stage(self, picture: Traceable, name: str, began: float, ended: float, **attributes: float | str) -> None:
        """One stage of a picture's way, in unix seconds; nothing where the picture is not in the sample."""
        identity = identity_of(picture)
        if identity.draw < self._sample:
            own = int.from_bytes(blake2b(f"{identity.span_id}|{name}".encode(), digest_size=_SPAN_BYTES).digest()) or 1
            self._tell(identity, own, name, (began, ended), attributes)

    def frame(self, picture: Traceable, ended: float) -> None:
        """The whole way of a picture, which ended then (unix seconds)."""
        identity = identity_of(picture)
        if identity.draw < self._sample:
            about: dict[str, float | str] = {"fbtasks.camera": picture.camera_id, "fbtasks.seq": picture.seq}
            self._tell(identity, identity.span_id, "frame", (picture.captured_at, ended), about)

    def close(self) -> None:
        """Send what is left; a receiver that is away is not waited for long."""
        self._out.shutdown()  # type: ignore[no-untyped-call]

    def _tell(
        self,
        identity: Identity,
        span_id: int,
        name: str,
        times: tuple[float, float],
        attributes: Mapping[str, float | str],
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags  # noqa: PLC0415

        def context(number: int) -> SpanContext:
            return SpanContext(identity.trace_id, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        self._out.on_end(
            ReadableSpan(
                name,
                context(span_id),
                parent=context(identity.span_id) if span_id != identity.span_id else None,
                resource=self._resource,
                attributes=attributes,
                kind=SpanKind.INTERNAL,
                start_time=round(times[0] * 1e9),
                # Two machines' clocks may differ; a span does not end before it begins.
                end_time=round(max(times) * 1e9),
            )
        )


def traces_of(settings: TraceSettings, role: str) -> Traces | None:
    """What tells spans, when any are wanted and can be told; else the log says why not."""
    if not settings.sample:
        return None
    try:
        return Traces(settings, role)
    except ImportError as error:
        log.error("no traces: %s; install fbtasks[otel], or set trace.sample to 0", error)  # noqa: TRY400
        return None
