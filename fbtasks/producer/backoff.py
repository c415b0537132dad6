"""How long to wait before a camera is connected again."""


def pause_before(failures: int, minimum_s: float, maximum_s: float, jitter: float) -> float:
    """Seconds to wait after `failures` connections in a row that did not work.

    None after a stream that had been healthy: it may have ended only because the camera restarted it. Then between
    `minimum_s` and twice that, doubling with each failure up to `maximum_s`.

    Args:
        failures: connections in a row that failed, 0 when the last one was healthy.
        jitter: 0 to 1, drawn at random, so that the cameras of a restarted recorder do not come all at once.
    """
    if failures == 0:
        return 0.0
    doublings = min(failures, 64)
    longest = min(maximum_s, minimum_s * 2.0**doublings)
    shortest = max(minimum_s, longest / 2)
    return shortest + jitter * (longest - shortest)
