"""`fbtasks sim`: the drawn stable, whose truth is known."""

import click

from fbtasks.cli.lazy import LazyGroup

COMMANDS = {
    "serve": "Serve drawn cameras as RTSP streams.",
    "fault": "Let a served camera suffer.",
    "render": "Draw a scenario into a video file.",
    "score": "Run random nights or scenarios through the rules and count what they tell.",
}


@click.command(cls=LazyGroup, package=__name__, table=COMMANDS, name="sim")
def command() -> None:
    """A drawn stable whose truth is known: serve it as cameras, draw it into files, score the rules on it."""
