"""`fbtasks check`."""

import sys
from time import time

import click

from fbtasks.cli import with_settings
from fbtasks.logic.checkup import findings
from fbtasks.logic.store import open_store
from fbtasks.redaction import redact, redact_url
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, connect


@click.command(name="check")
@with_settings("check")
def command(settings: Settings) -> None:
    """Print the health report; exit 1 when something is down."""
    state = connect(settings.state_url, settings.redis.timeout_s)
    frames = connect(settings.frames_url, settings.redis.timeout_s)
    try:
        report = findings(settings, state, frames, open_store(settings.store_url), now=time())
    except REDIS_AWAY as error:
        urls = " or ".join(dict.fromkeys(map(redact_url, (settings.state_url, settings.frames_url))))
        click.echo(f"DOWN  {'redis':<20} {urls}: {redact(str(error)).rstrip('.')}; is `fbtasks up` running?")
        sys.exit(1)
    for finding in report:
        click.echo(f"{'ok  ' if finding.ok else 'DOWN'}  {finding.subject:<20} {redact(finding.text)}")
    if not all(finding.ok for finding in report):
        sys.exit(1)
