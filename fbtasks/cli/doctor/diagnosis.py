"""What the doctor finds, and how many checks are made at once, each within its time."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic

from fbtasks.errors import FbtasksError
from fbtasks.health import Level


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    Attributes:
        subject: what was looked at.
        text: what was seen.
        advice: what to do about it; empty when there is nothing to do.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """One check.

    Attributes:
        subject: what it looks at; what goes wrong is told under this name.
        look: the check itself.
        within_s: it is given up after so long, seconds.
    """

    subject: str
    look: Callable[[], Iterable[Diagnosis]]
    within_s: float


def examine(examinations: Sequence[Examination]) -> list[list[Diagnosis]]:
    """The findings of all, in their order; all are made at once.

    A check that hangs is left behind in its thread, which does not keep the process alive.
    """
    began = monotonic()
    started = [(examination, _start(examination)) for examination in examinations]
    return [_result(examination, answer, began) for examination, answer in started]


def _start(examination: Examination) -> "SimpleQueue[list[Diagnosis]]":
    answer: SimpleQueue[list[Diagnosis]] = SimpleQueue()

    def run() -> None:
        try:
            found = list(examination.look())
        except FbtasksError as error:
            found = [Diagnosis("critical", examination.subject, str(error))]
        except Exception as error:  # noqa: BLE001 - one check that fails must not hide what the others found
            text = f"the check itself failed: {type(error).__name__}: {error}"
            found = [Diagnosis("unknown", examination.subject, text)]
        answer.put(found)

    threading.Thread(target=run, name=examination.subject, daemon=True).start()
    return answer


def _result(examination: Examination, answer: "SimpleQueue[list[Diagnosis]]", began: float) -> list[Diagnosis]:
    try:
        return answer.get(timeout=max(0.0, began + examination.within_s - monotonic()))
    except Empty:
        text = f"no answer within {examination.within_s:g} s"
        return [Diagnosis("critical", examination.subject, text, "see whether it hangs, or is only slow here")]
