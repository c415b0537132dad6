"""Where the check that beat starts remembers what is down: in Redis, written together with the alerts it makes."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from redis import Redis
from redis.exceptions import WatchError

from fbtasks.alert import SITE, Alert
from fbtasks.health import Finding
from fbtasks.keys import STATE_TTL_S, Keys
from fbtasks.logic.system import INSIDE, Troubles, troubles_of


def tell_system(
    redis: Redis,
    keys: Keys,
    findings: Iterable[Finding],
    open_episodes: Callable[[str], Sequence[Alert]],
    *,
    now: float,
    patience_s: float,
) -> list[Alert]:
    """Judge the parts that the logic looks after, and put what became of them into the outbox, in one commit.

    Of two checks that run at once one writes; the other's look is as if it had not been.

    Args:
        findings: of this look.
        open_episodes: asked for those of `SITE` when Redis has forgotten what is down.
        now: unix seconds.
        patience_s: what is down for less is not told of.

    Returns:
        The alerts that were written.

    Raises:
        StoreUnavailable: Redis has forgotten what is down, and the store cannot say.
    """
    with redis.pipeline() as pipe:
        pipe.watch(keys.system)
        kept = pipe.get(keys.system)
        troubles = _decoded(kept) if isinstance(kept, bytes) else troubles_of(open_episodes(SITE), INSIDE)
        alerts = troubles.step(findings, INSIDE, now=now, patience_s=patience_s)
        pipe.multi()
        pipe.set(keys.system, msgspec.json.encode(troubles), ex=STATE_TTL_S)
        for alert in alerts:
            pipe.xadd(keys.outbox, {"d": alert.model_dump_json()})
        try:
            pipe.execute()
        except WatchError:
            return []
    return alerts


def _decoded(kept: bytes) -> Troubles:
    return msgspec.json.decode(kept, type=Troubles)
