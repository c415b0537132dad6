"""What the logic would stumble over later: rules, sinks, the store's address, looked at before it starts."""

from fbtasks.logic.plugins import known_rules
from fbtasks.logic.rules import load_rules
from fbtasks.logic.sinks.making import refuse_unknown, refuse_wrong_sinks
from fbtasks.logic.store.engine import target_of
from fbtasks.settings import Settings


def refuse_wrong_settings(settings: Settings) -> None:
    """Raise `ConfigError` when a rule table, the site's or a camera's, a sink, a clip's camera or `store.url` is wrong.

    Nothing is connected, and the store's driver need not be there: a camera's machine shares the file and has none.
    """
    refuse_wrong_rules(settings)
    refuse_wrong_sinks(settings)
    refuse_unknown("evidence.clip.cameras", settings.evidence.clip.cameras, [camera.id for camera in settings.cameras])
    target_of(settings.store_url)


def refuse_wrong_rules(settings: Settings) -> None:
    """Raise `ConfigError` when a rule table, the site's or a camera's, or a rule of another package is wrong."""
    known = known_rules()
    load_rules(settings.rules, known)
    for camera in settings.cameras:
        load_rules(settings.rule_tables(camera.id), known, f"cameras.{camera.id}.rules")
