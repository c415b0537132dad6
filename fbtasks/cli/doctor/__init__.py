"""`fbtasks doctor`: what is wrong here, and what to do about it."""

import json
from dataclasses import asdict
from functools import partial

import click

from fbtasks.cli import with_settings
from fbtasks.cli.doctor.diagnosis import Diagnosis, Examination, examine
from fbtasks.health import LEVELS, Level
from fbtasks.lifecycle import leave
from fbtasks.redaction import redact
from fbtasks.settings import Settings

SHOWN: dict[Level, str] = {"ok": "ok", "warning": "WARN", "unknown": "?", "critical": "FAIL"}
EXIT: dict[Level, int] = {"ok": 0, "warning": 1, "unknown": 1, "critical": 2}
SERVERS_S = 20.0
MACHINE_S = 15.0


def examinations(settings: Settings, camera: str | None) -> list[Examination]:
    """All checks, in the order in which they are told."""
    from fbtasks.cli.doctor import machine, servers, trials
    from fbtasks.logic.sinks.making import tables

    return [
        Examination("machine", partial(machine.machine, settings.data_dir), MACHINE_S),
        Examination("worker", partial(machine.processes, settings.up.concurrency), MACHINE_S),
        Examination("versions", machine.versions, MACHINE_S),
        Examination("redis", partial(servers.redis, settings), SERVERS_S),
        Examination("database", partial(servers.database, settings), SERVERS_S),
        *(
            Examination(f"sink {name}", partial(servers.sink, settings, name), 2 * table.timeout_s + SERVERS_S)
            for name, table in tables(settings).items()
        ),
        Examination("evidence", partial(servers.evidence, settings), SERVERS_S),
        Examination("camera", partial(trials.camera, settings, camera), 2 * trials.CAMERA_S),
        Examination("model", partial(trials.model, settings), 2 * trials.MODEL_S),
        Examination("providers", partial(trials.engines, settings), (len(trials.LADDER) + 1) * trials.ENGINE_S),
    ]


@click.command(name="doctor")
@click.option("--camera", help="The camera to look at; default: the first.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@with_settings("doctor")
def command(settings: Settings, *, camera: str | None, as_json: bool) -> None:
    """Look at everything that fbtasks needs, and say what to do; exit 1 with warnings, 2 when something cannot work.

    Sends nothing to anybody, and changes nothing.
    """
    found = [diagnosis for group in examine(examinations(settings, camera)) for diagnosis in group]
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) | {"text": redact(diagnosis.text)} for diagnosis in found], indent=2))
    else:
        for diagnosis in found:
            click.echo(in_words(diagnosis))
    leave(EXIT[max((diagnosis.level for diagnosis in found), key=LEVELS.index)])


def in_words(diagnosis: Diagnosis) -> str:
    """The line of a finding, and one for what to do about it."""
    line = f"{SHOWN[diagnosis.level]:<4}  {diagnosis.subject:<20} {redact(diagnosis.text)}"
    return f"{line}\n{'':<27}→ {diagnosis.advice}" if diagnosis.advice else line
