"""Logs to standard error, one line an event, and never a password in them.

`pretty` is for people, `json` for what gathers logs: an object a line with `time`, `level`, `logger`, `role`, `pid` and
`message`, with `camera` and `seq` where the message begins with them, as ours do (`camera box-3, frame 17: …`), and
with `error` where there is a traceback.
"""

import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

from fbtasks.redaction import redact

Format = Literal["pretty", "json"]
TOO_FRANK = ("apprise", "urllib3")
"""Libraries whose DEBUG shows addresses with their paths, where hooks keep their key."""
_ABOUT = re.compile(r"camera (?P<camera>[A-Za-z0-9_.-]{1,64})(?:, frame (?P<seq>\d+))?: ")


class RedactingFormatter(logging.Formatter):
    """The last line of defence: whatever a library logs, tracebacks included, loses its credentials here."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is the library's
        """On one line: Celery's messages have up to three, and a name from outside could hold a forged one."""
        record.message = _on_one_line(record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """An object for each line; every text in it loses its credentials before it is put there."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        message = redact(_on_one_line(record.getMessage()))
        told: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "role": self._role,
            "pid": os.getpid(),
            "message": message,
        }
        about = _ABOUT.match(message)
        if about is not None:
            told["camera"] = about["camera"]
            if about["seq"] is not None:
                told["seq"] = int(about["seq"])
        if record.exc_info:
            told["error"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(told).decode()


def _on_one_line(message: str) -> str:
    return " ".join(message.split("\n")).strip()


def configure(role: str, level: str, shape: Format = "pretty") -> None:
    """Send all logs of this process to standard error; `role` stands in every line."""
    handler = logging.StreamHandler(sys.stderr)
    pretty = RedactingFormatter(f"%(asctime)s %(levelname)-7s {role} %(message)s")
    handler.setFormatter(JsonFormatter(role) if shape == "json" else pretty)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level == "DEBUG":
        for library in TOO_FRANK:
            logging.getLogger(library).setLevel(logging.INFO)
