"""Every Redis key of the system, its bound, and nothing else.

No key lives for ever: each has a length cap or a time to live (a test walks a used Redis and fails on one without).
All names of a site start with its prefix. On a Redis Cluster put the hash tag there (`{site-7}:`): the scripts that
touch several keys at once then find all of them on one slot.
"""

from dataclasses import dataclass

BATCH_FRAMES_TTL_S = 60
MAILBOX_TTL_S = 600
QUEUED_TTL_S = 3
"""A `queued` owner whose task was never sent, or died on the way, is forgotten after this long."""
OWNER_TTL_S = 3
"""A running task renews its token with every commit; one that died is forgotten after this long."""
STATE_TTL_S = 7 * 24 * 3600
LATEST_TTL_S = 3600
PICTURE_TTL_S = 5
"""A camera's newest picture, for the alert that it may bring about; a late alert goes without."""
FILM_FPS = 5
"""Pictures of a second that are kept for a film; a camera that sends more is thinned out."""
FILM_SLACK_S = 10.0
"""By so much longer than a film, pictures for it are there: an alert is decided after its picture, and films wait."""
OUTBOX_CAP = 100_000
TASKS_CAP = 10_000
"""Of Celery's queue. The sweep would send any of them again; while no worker runs, 30 MB come a day and camera."""
DEAD_LETTER_CAP = 100
DEAD_LETTER_TTL_S = 7 * 24 * 3600
HEALTH_TTL_S = 3600
CAMERAS_CAP = 2_000
"""Of cameras that are set at run time, and of changes to those of the file."""
CAMERAS_VERSION = ":version"
"""The field of their hash that holds its version; no camera can be called so."""
CAMERA_CHANGES_CAP = 10_000
"""Of changes of cameras' statuses that are not in the store yet."""
CAMERA_CHANGES_TTL_S = 7 * 24 * 3600
DELIVERING_TTL_S = 60
"""Longer than any task that delivers or copies; a claim in the store, not this, keeps an alert from coming twice."""
PACE_TTL_S = 2 * 3600
"""Longer than a sink is ever left in peace."""


@dataclass(frozen=True, slots=True)
class CameraKeys:
    """The keys that one camera's scripts touch together."""

    mailbox: str
    owner: str
    state: str
    latest: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of all keys and channels under one site's prefix."""

    prefix: str = ""

    @property
    def batch_frames(self) -> str:
        """List of encoded frames, oldest first; capped by `frames.max_length` and `BATCH_FRAMES_TTL_S`."""
        return f"{self.prefix}batch_frames"

    def camera(self, camera_id: str) -> CameraKeys:
        """Mailbox (stream, capped), owner, state and latest decision of one camera."""
        return CameraKeys(
            mailbox=f"{self.prefix}batch_results:{camera_id}",
            owner=f"{self.prefix}camera:{camera_id}:owner",
            state=f"{self.prefix}camera:{camera_id}:state",
            latest=f"{self.prefix}camera:{camera_id}:latest",
        )

    def picture(self, camera_id: str) -> str:
        """The newest frame of one camera, or nearly so, as it was sent; where the frames are."""
        return f"{self.prefix}camera:{camera_id}:picture"

    def film(self, camera_id: str) -> str:
        """List of one camera's frames of the last seconds, oldest first; only where films are kept. Capped by time."""
        return f"{self.prefix}camera:{camera_id}:film"

    @property
    def mailboxes(self) -> str:
        """Pattern that matches every mailbox."""
        return f"{self.prefix}batch_results:*"

    def camera_of_mailbox(self, key: str) -> str:
        """The camera whose mailbox `key` is."""
        return key.removeprefix(f"{self.prefix}batch_results:")

    @property
    def outbox(self) -> str:
        """Stream of alerts and minutes that are not in the store yet."""
        return f"{self.prefix}alerts:outbox"

    def dead(self, kind: str) -> str:
        """List of dead letters of `kind`: frames, results or alerts."""
        return f"{self.prefix}dead:{kind}"

    def delivering(self, sink: str) -> str:
        """Held by the one task that sends to this sink."""
        return f"{self.prefix}delivering:{sink}"

    @property
    def probing(self) -> str:
        """Held by the one task that tries a sink that has failed."""
        return f"{self.prefix}probing"

    @property
    def copying(self) -> str:
        """Held by the one task that copies pictures and films to a bucket."""
        return f"{self.prefix}copying"

    @property
    def checking(self) -> str:
        """Held by the one task that checks the health of all."""
        return f"{self.prefix}checking"

    def pace(self, sink: str) -> str:
        """How fast this sink may be sent to, and until when it rests."""
        return f"{self.prefix}pace:{sink}"

    @property
    def cameras(self) -> str:
        """Hash of what was set at run time for cameras, by id, and of its version; capped by `CAMERAS_CAP`."""
        return f"{self.prefix}cameras"

    @property
    def producers(self) -> str:
        """Hash of the live producers, by id; it expires with the last of them."""
        return f"{self.prefix}producers"

    def lease(self, camera_id: str) -> str:
        """Id of the producer that reads the camera; it expires with the producer."""
        return f"{self.prefix}camera:{camera_id}:lease"

    @property
    def camera_changes(self) -> str:
        """Stream of changes of cameras' statuses that are not in the store yet."""
        return f"{self.prefix}cameras:changes"

    def health(self, process: str) -> str:
        """Last progress report of one process."""
        return f"{self.prefix}health:{process}"

    @property
    def system(self) -> str:
        """Which parts of the system are down, as the check that beat starts has last seen it."""
        return f"{self.prefix}system"

    @property
    def decisions_channel(self) -> str:
        """Pub/sub channel on which every decision of the logic is told as it is made."""
        return f"{self.prefix}decisions"

    @property
    def alerts_channel(self) -> str:
        """Pub/sub channel on which alerts are told."""
        return f"{self.prefix}alerts"
