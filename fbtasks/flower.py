"""How Flower is opened: on loopback unless told otherwise, and elsewhere only with a login.

Flower by itself listens everywhere and lets everybody in, and whoever is in can stop the workers. It reads its options
from the environment too, which is where the login goes: on a command line everybody on the machine could read it.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from fbtasks.errors import ConfigError

ADDRESS, LOGIN = "FLOWER_ADDRESS", "FLOWER_BASIC_AUTH"
_OTHER_LOGIN = "FLOWER_AUTH"


def flower_environment(
    address: str, login: str, *, argv: Sequence[str] = (), environ: Mapping[str, str]
) -> dict[str, str]:
    """What to add to Flower's environment.

    Args:
        address: from the settings.
        login: from the settings, as `user:password`; empty where none is set.
        argv: Flower's command line, whose options go before the environment's.
        environ: its environment, which goes before the settings.

    Raises:
        ConfigError: it would be open to other machines without a login.
    """
    added = {ADDRESS: address} | ({LOGIN: login} if login else {})
    effective = {**added, **environ}
    told = _option("address", argv)
    reached_at = effective[ADDRESS] if told is None else told
    has_login = LOGIN in effective or _OTHER_LOGIN in environ or _option("basic_auth", argv) or _option("auth", argv)
    if not has_login and not _is_loopback(reached_at):
        raise ConfigError(
            f"Flower would be open to everybody on {reached_at or 'every address'}: set flower.user and "
            "flower.password, or leave flower.address at 127.0.0.1"
        )
    return {name: value for name, value in added.items() if name not in environ}


def _option(name: str, argv: Sequence[str]) -> str | None:
    """The value of the last `--name=value` or `--name value`, however its words are joined."""
    found = None
    for number, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if option.startswith("-") and option.lstrip("-").replace("-", "_") == name:
            found = value if equals else next(iter(argv[number + 1 :]), "")
    return found


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
