"""`fbtasks cameras`: the cameras of a site, those of the settings file and those that are set at run time."""

import click

from fbtasks.cli.cameras import changes
from fbtasks.cli.lazy import LazyGroup

COMMANDS = {
    "list": "All cameras, what they are doing, since when and why.",
    "add": "Add a camera; running producers take it up within a second.",
    "set": "Change a camera, such as fps=2 or horse=Luna.",
    "disable": "Stop reading a camera.",
    "enable": "Read it again.",
    "remove": "Forget a camera that was added.",
    "test": "Open a camera, tell what it sends, and show a picture.",
    "discover": "Look for ONVIF cameras on the network.",
    "export": "Print the cameras that were added as tables for the settings file.",
}


class _Cameras(LazyGroup):
    """The short ones are together in a module."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return changes.COMMANDS.get(cmd_name) or super().get_command(ctx, cmd_name)


@click.command(cls=_Cameras, package=__name__, table=COMMANDS, name="cameras")
def command() -> None:
    """The cameras of a site. What is changed here holds at once, without a restart of anything.

    Cameras of the settings file stay the file's: `set` and `disable` lie over it. Those that are added live in Redis.
    """
