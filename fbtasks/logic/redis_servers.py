"""What a Redis tells of itself, judged by what is kept in it: the broker with its alerts, or frames."""

from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from fbtasks.health import Finding, Level

STATE = "redis"
FRAMES = "frames redis"
FULL = 0.8
"""Share of the memory from which on it is a warning."""
BRIM = 0.95


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        info: its answer to INFO.
        snapshots: its `save` rule, empty when it takes none, None where it may not be asked.
    """

    info: dict[str, Any]
    snapshots: str | None

    @property
    def run_id(self) -> str:
        """The same for two connections to one server."""
        return str(self.info.get("run_id", ""))

    @property
    def uptime_s(self) -> float:
        return float(self.info.get("uptime_in_seconds", 0))

    @property
    def keeps_log(self) -> bool:
        """Whether it writes each change to an append-only file."""
        return bool(self.info.get("aof_enabled"))


def ask(redis: Redis) -> Server:
    """What the server tells.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: it is away.
    """
    info = cast(dict[str, Any], redis.info())
    try:
        snapshots = cast(dict[str, str], redis.config_get("save")).get("save", "")
    except ResponseError:  # a hosted one does not let itself be asked
        snapshots = None
    return Server(info, snapshots)


def judge_state(server: Server) -> Finding:
    """The one with broker, state and alerts: nothing in it may be lost."""
    policy = str(server.info.get("maxmemory_policy", "noeviction"))
    faults: list[tuple[Level, str]] = []
    if policy != "noeviction" and server.info.get("maxmemory"):
        faults.append(
            ("warning", f"may throw tasks and alerts away when full: set maxmemory-policy noeviction, not {policy}")
        )
    if not server.keeps_log:
        faults.append(("warning", "keeps no append-only file: its end loses alerts on their way, set appendonly yes"))
    return _judged(STATE, server, [*faults, *_writing(server), *_memory(server)])


def judge_frames(server: Server) -> Finding:
    """The one with frames alone: nothing in it is worth a disk."""
    faults: list[tuple[Level, str]] = []
    if server.keeps_log or server.snapshots:
        faults.append(("warning", "writes frames to its disk: set appendonly no and an empty save"))
    return _judged(FRAMES, server, [*faults, *_memory(server)])


def away(subject: str, error: RedisError) -> Finding:
    """It does not answer."""
    return Finding("critical", subject, f"does not answer: {str(error).rstrip('.')}")


def _memory(server: Server) -> list[tuple[Level, str]]:
    limit = int(server.info.get("maxmemory") or server.info.get("total_system_memory") or 0)
    share = int(server.info.get("used_memory", 0)) / limit if limit else 0.0
    if share <= FULL:
        return []
    return [("critical" if share > BRIM else "warning", f"{share:.0%} of its memory is used")]


def _writing(server: Server) -> list[tuple[Level, str]]:
    failed = [
        what
        for what, field in (("append-only file", "aof_last_write_status"), ("snapshot", "rdb_last_bgsave_status"))
        if server.info.get(field, "ok") != "ok"
    ]
    return [("critical", f"its {what} cannot be written: is the disk full?") for what in failed]


def _judged(subject: str, server: Server, faults: list[tuple[Level, str]]) -> Finding:
    info = server.info
    text = f"{info.get('used_memory_human', '?')} used, {info.get('maxmemory_policy', '?')}"
    text += f", append-only file {'on' if server.keeps_log else 'off'}"
    level: Level = "ok"
    for grave, fault in faults:
        level = grave if level != "critical" else level
        text += f"; {fault}"
    return Finding(level, subject, text)
