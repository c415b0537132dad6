"""Logs to standard error, one line an event, and never a password in them."""

import logging
import sys

from fbtasks.redaction import redact


class RedactingFormatter(logging.Formatter):
    """The last line of defence: whatever a library logs, tracebacks included, loses its credentials here."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is the library's
        """On one line: Celery's messages have up to three, and a name from outside could hold a forged one."""
        record.message = " ".join(record.message.split("\n")).strip()
        return super().formatMessage(record)


def configure(role: str, level: str) -> None:
    """Send all logs of this process to standard error; `role` stands in every line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(f"%(asctime)s %(levelname)-7s {role} %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
