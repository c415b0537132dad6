"""Alerts on a Redis channel."""

import pytest
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.errors import DeliveryFailed
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.pubsub import PubSub
from tests.alerts import first_alert
from tests.servers import Valkey

ALERT = first_alert()


def open_sink(client: Redis) -> Sink:
    return PubSub("pubsub", client, "alerts", timeout_s=1.0)


def test_a_listener_gets_the_alert(valkey: Valkey) -> None:
    with valkey.client() as client, client.pubsub() as listener:
        listener.subscribe("alerts")
        assert listener.get_message(timeout=5.0) is not None, "the subscription"
        open_sink(client).send(ALERT)
        message = listener.get_message(timeout=5.0)
        assert message is not None
        assert Alert.model_validate_json(message["data"]) == ALERT


def test_redis_away_is_retryable_and_heals(valkey: Valkey) -> None:
    with valkey.client(socket_timeout=1.0, socket_connect_timeout=1.0) as client:
        sink = open_sink(client)
        sink.send(ALERT)
        valkey.kill()
        with pytest.raises(DeliveryFailed) as caught:
            sink.send(ALERT)
        assert caught.value.retryable
        valkey.restart()
        sink.send(ALERT)


def test_redis_that_hangs_is_retryable(valkey: Valkey) -> None:
    with valkey.client(socket_timeout=0.3, socket_connect_timeout=0.3) as client:
        client.ping()
        valkey.pause()
        with pytest.raises(DeliveryFailed) as caught:
            open_sink(client).send(ALERT)
        valkey.resume()
        assert caught.value.retryable
