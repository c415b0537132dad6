"""`fbtasks sim fault`: a camera of `fbtasks sim serve` goes wrong, from another process."""

import click


@click.command(name="fault", context_settings={"ignore_unknown_options": True})  # seconds may be negative
@click.argument("url")
@click.argument("words", nargs=-1, required=True, metavar="FAULT")
def command(url: str, words: tuple[str, ...]) -> None:
    """Let the camera at URL suffer FAULT, as in: fbtasks sim fault rtsp://127.0.0.1:8554/box-1 drop 0.05.

    \b
    stall                  send no pictures, answer requests
    mute                   answer nothing, send nothing
    freeze                 send one picture again and again
    drop SHARE             lose that share of the packets, 0 to 1
    corrupt SHARE          damage that share of the packets
    slow KBIT_S            send no faster
    refuse closed|401|404  refuse all requests
    clear [WHICH]          end that fault, or all above
    disconnect             close the connections that are open
    jump SECONDS           let the time stamps jump
    size WIDTHxHEIGHT      go on with pictures of another size
    codec h264|h265        go on in another codec
    password basic|digest USER PASSWORD, password none
    """  # noqa: D301 - click wants the character itself
    from fbtasks.sim.faults import send

    send(url, " ".join(words))
