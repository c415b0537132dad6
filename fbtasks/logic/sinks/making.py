"""From the settings to the sinks and the routes to them."""

from collections.abc import Iterable
from contextlib import suppress

from redis import Redis

from fbtasks.errors import ConfigError, ExtraMissing
from fbtasks.keys import Keys
from fbtasks.logic.plugins import known_rules, package_sink
from fbtasks.logic.rules import load_rules
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.apprise import AppriseSink
from fbtasks.logic.sinks.mqtt import Device, Mqtt
from fbtasks.logic.sinks.pubsub import PubSub
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.sinks.webhook import Webhook
from fbtasks.logic.system import SYSTEM_RULES
from fbtasks.naming import nearest
from fbtasks.settings import AnySink, AppriseSettings, PackageSettings, PubSubSettings, Settings, WebhookSettings

PUBSUB = "pubsub"
"""Name of the sink that is there without being asked for: the commands that look on listen to it."""


def tables(settings: Settings) -> dict[str, AnySink]:
    """The sinks' tables by name."""
    return {PUBSUB: PubSubSettings(kind="pubsub"), **settings.sinks}


def sinks_of(settings: Settings, redis: Redis) -> dict[str, Sink]:
    """All sinks by name; nothing is connected yet.

    Raises:
        ConfigError: a sink cannot work as it is set.
    """
    return {name: make_sink(settings, name, redis) for name in tables(settings)}


def make_sink(settings: Settings, name: str, redis: Redis) -> Sink:
    """The sink of that name; nothing is connected yet.

    Raises:
        ConfigError: it cannot work as it is set.
    """
    table = tables(settings)[name]
    if isinstance(table, WebhookSettings):
        return _webhook(name, table)
    if isinstance(table, PubSubSettings):
        channel = table.channel or Keys(settings.redis.prefix).alerts_channel
        return PubSub(name, redis, channel, settings.redis.timeout_s)
    if isinstance(table, AppriseSettings):
        return AppriseSink(name, table.url.get_secret_value(), table.timeout_s, _horses(settings), settings.zone)
    if isinstance(table, PackageSettings):
        options = {key: value.get_secret_value() for key, value in table.options.items()}
        return package_sink(table.sink, name, table.timeout_s, options)
    return Mqtt(name, table, _devices(settings, route_of(settings, name)) if table.discovery else ())


def routes_of(settings: Settings) -> list[Route]:
    """The way to each sink."""
    return [route_of(settings, name) for name in tables(settings)]


def route_of(settings: Settings, name: str) -> Route:
    """The way to the sink of that name."""
    table = tables(settings)[name]
    return Route(
        name,
        min_severity=table.min_severity,
        rules=frozenset(table.rules),
        cameras=frozenset(table.cameras),
        active=tuple(table.active),
        hold_s=60 * table.escalate_after_min,
        zone=settings.zone,
    )


def refuse_wrong_sinks(settings: Settings) -> None:
    """Raise `ConfigError` when a sink cannot work as it is set, or names a rule or camera that there is not.

    Nothing is connected, and the libraries of Apprise and MQTT need not be there.
    """
    cameras = [camera.id for camera in settings.cameras]
    for name, table in settings.sinks.items():
        refuse_unknown(f"sinks.{name}.rules", table.rules, [*known_rules(), *SYSTEM_RULES])
        refuse_unknown(f"sinks.{name}.cameras", table.cameras, cameras)
        with suppress(ExtraMissing):
            make_sink(settings, name, Redis())


def refuse_unknown(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ConfigError` when one of the names, which stand at `where` in the settings, is none that is known."""
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}: there is no {name!r}{nearest(name, known)}")


def _webhook(name: str, table: WebhookSettings) -> Webhook:
    return Webhook(
        name,
        table.url.get_secret_value(),
        timeout_s=table.timeout_s,
        token=table.token.get_secret_value() if table.token else None,
        secret=table.secret.get_secret_value() if table.secret else None,
    )


def _horses(settings: Settings) -> dict[str, str]:
    return {camera.id: camera.horse for camera in settings.cameras if camera.horse}


def _devices(settings: Settings, route: Route) -> list[Device]:
    """What Home Assistant is told there is: a device for each camera, a sensor for each of its rules."""
    known = known_rules()
    devices = []
    for camera in settings.cameras:
        rules = load_rules(settings.rule_tables(camera.id), known, f"cameras.{camera.id}.rules")
        sensors = tuple(rule.name for rule in rules if route.concerns(camera.id, rule.name))
        if camera.enabled and sensors:
            devices.append(Device(camera.id, camera.horse or camera.id, sensors))
    return devices
