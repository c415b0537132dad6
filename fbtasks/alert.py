"""What the outside is told about an episode."""

from typing import Literal, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["note", "info", "warning", "critical"]
"""From what is only noted to what a groom is woken for."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Event = Literal["raised", "updated", "escalated", "acknowledged", "cleared"]
"""`acknowledged`: somebody has seen to it; the episode goes on until it is cleared. `updated`: it goes on as before."""
SITE = "_system"
"""Stands for the camera in an alert about the site as a whole; no camera can have this name."""

_NAMESPACE = uuid5(NAMESPACE_URL, "fbtasks:episode")


class Alert(BaseModel):
    """One event of one episode; what the store keeps and every sink is sent.

    Identifiers follow from what happened, not from when it was computed: a result that is processed again after a
    crash yields the same alerts, and the store and the backend know them for the same.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    id: str = Field(description="unique; also the Idempotency-Key of the delivery")
    episode_id: UUID = Field(description="the same from raise to clear")
    number: int = Field(
        ge=0, description="position within the episode: 0 is the raise; an acknowledgement has that of what it answers"
    )
    event: Event
    camera_id: str = Field(description=f"`{SITE}` when it is about the site as a whole")
    rule: str
    severity: Severity
    track_id: int | None = Field(description="which animal or person, None when the rule is about the whole stall")
    started_at: float = Field(description="when the condition began, unix seconds of capture time")
    at: float = Field(description="when this event became true, unix seconds of capture time")
    message: str = Field(description="one sentence for a groom")
    evidence: dict[str, float | str | None] = Field(default_factory=dict, description="what the rule saw")
    picture: str | None = Field(
        None, description="file in the evidence folder, relative to it; without one, evidence.no_picture says why"
    )
    clip: str | None = Field(
        None,
        description="film of the seconds before, likewise; it is there some seconds after the alert, "
        "or never when it could not be made",
    )


def episode_id(camera_id: str, rule: str, track_id: int | None, started_at: float) -> UUID:
    """The identifier of the episode of `rule` that began at `started_at` (unix seconds of capture time)."""
    return uuid5(_NAMESPACE, f"{camera_id}|{rule}|{track_id}|{started_at:.3f}")


def alert_id(episode: UUID, number: int) -> str:
    """The identifier of event `number` of an episode."""
    return f"{episode}:{number}"


def acknowledgement_id(episode: UUID, number: int) -> str:
    """The identifier of the acknowledgement of event `number`; there is one at most, whoever was the first."""
    return f"{episode}:{number}:acknowledged"
