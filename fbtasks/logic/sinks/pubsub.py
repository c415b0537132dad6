"""A Redis channel: every listener that is there gets the alert."""

import redis

from fbtasks.alert import Alert
from fbtasks.errors import DeliveryFailed


class PubSub:
    """Publishes each alert as JSON. Delivered means that Redis took it; nobody need have listened."""

    def __init__(self, name: str, client: redis.Redis, channel: str, timeout_s: float) -> None:
        """`timeout_s` is that of the client's socket; the sink does not set it."""
        self.name = name
        self._client = client
        self._channel = channel
        self.timeout_s = timeout_s

    def send(self, alert: Alert) -> None:
        """See `Sink.send`. Whatever Redis refuses (away, loading, read-only, full) may work later."""
        try:
            self._client.publish(self._channel, alert.model_dump_json())
        except redis.RedisError as error:
            raise DeliveryFailed(f"Redis did not publish it: {error}", retryable=True) from error
