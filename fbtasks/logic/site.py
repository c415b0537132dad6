"""What a site's settings make of the pure parts."""

from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.plugins import known_rules
from fbtasks.logic.rules import load_rules
from fbtasks.settings import Settings


def pipeline_of(settings: Settings, camera_id: str) -> Pipeline:
    """The pipeline of one camera, the same for those that watch and those that replay.

    Raises:
        ConfigError: a rule table is wrong.
    """
    return Pipeline(
        camera_id, settings.logic, load_rules(settings.rule_tables(camera_id), known_rules()), settings.zone
    )
