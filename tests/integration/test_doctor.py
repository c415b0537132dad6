"""`fbtasks doctor` on a machine with a real Redis, and on one with everything wrong."""

import json
import sys
from pathlib import Path
from threading import Event

import pytest

from fbtasks.cli.doctor.diagnosis import Diagnosis, Examination, examine
from fbtasks.cli.doctor.trials import tried
from fbtasks.errors import StoreUnavailable
from fbtasks.transport import connect
from tests.backend import Backend
from tests.conftest import ValkeyFactory
from tests.ports import LOOPBACK, free_port
from tests.processes import Process, Processes
from tests.tiny_detector import saved

TIMEOUT_S = 110.0
SECRET = "s3cret-pa55"

pytestmark = pytest.mark.timeout(150)


def doctor(processes: Processes, *options: str, **env: str) -> Process:
    process = processes.start("fbtasks", "doctor", *options, env=env)
    process.wait(TIMEOUT_S)
    return process


def test_what_works_is_seen_to_work_and_nobody_is_sent_anything(
    processes: Processes, valkey_factory: ValkeyFactory, backend: Backend, tmp_path: Path
) -> None:
    state, frames = valkey_factory(appendonly="yes"), valkey_factory()
    (tmp_path / "fbtasks.toml").write_text(
        f'[gpu]\nmodel = "{saved(tmp_path)}"\nprovider = "cpu"\n'
        f'[sinks.backend]\nkind = "webhook"\nurl = "{backend.url}"\n'
    )
    seen = doctor(
        processes,
        "--json",
        FBTASKS_REDIS_URL=state.url,
        FBTASKS_FRAMES_REDIS_URL=frames.url,
        FBTASKS_DATA_DIR=str(tmp_path / "data"),
    )
    found = [Diagnosis(**one) for one in json.loads(seen.output())]
    subjects = {one.subject for one in found}
    assert {"machine", "memory", "disk", "versions", "redis", "frames redis", "database", "gpu", "camera"} <= subjects
    wrong = {one.subject: one.text for one in found if one.level != "ok"}
    assert wrong.keys() <= {"camera", "machine", "memory", "disk", "redis", "frames redis"}, wrong  # the machine's load
    (provider,) = [one for one in found if one.subject == "provider cpu"]
    assert "ms a picture" in provider.text
    assert not backend.requests
    with connect(state.url, 1.0) as redis:
        assert not redis.dbsize()
    assert not (tmp_path / "data").exists(), "it has changed something"


def test_what_is_wrong_is_told_with_what_to_do_and_without_secrets(
    processes: Processes, valkey_factory: ValkeyFactory, tmp_path: Path
) -> None:
    server = valkey_factory(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    away = free_port()
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no model")
    (tmp_path / "fbtasks.toml").write_text(
        f'[gpu]\nmodel = "{model}"\nprovider = "cuda"\n'
        f'[store]\nurl = "postgresql://groom:{SECRET}@{LOOPBACK}:{away}/alerts"\n'
        f'[sinks.backend]\nkind = "webhook"\nurl = "https://groom:{SECRET}@{LOOPBACK}:{away}/alerts"\n'
        f'[sinks.home]\nkind = "mqtt"\nhost = "{LOOPBACK}"\nport = {away}\n'
        f'[evidence.s3]\nbucket = "alerts"\nendpoint = "http://{LOOPBACK}:{away}"\n'
        f'access_key = "groom"\nsecret_key = "{SECRET}"\n'
        f"[up]\nconcurrency = 1\n"
        f'[[cameras]]\nid = "box-1"\nurl = "rtsp://groom:{SECRET}@{LOOPBACK}:{away}/stream"\n'
    )
    seen = doctor(processes, FBTASKS_REDIS_URL=server.url, FBTASKS_DATA_DIR=str(tmp_path / "data"))
    assert seen.exit_code == 2
    lines = seen.output().splitlines()
    failed = {line[6:27].strip() for line in lines if line.startswith("FAIL")}
    assert failed >= {"model", "provider cuda", "camera box-1", "database", "sink backend", "sink home", "bucket"}
    assert any(line.startswith("WARN  redis") and "noeviction" in line and "appendonly" in line for line in lines)
    assert any(line.startswith("WARN  worker") for line in lines)
    assert sum("→" in line for line in lines) >= len(failed) - 2
    assert SECRET not in seen.output()


def test_checks_that_fail_or_hang_hide_no_other() -> None:
    def raises(error: Exception) -> list[Diagnosis]:
        raise error

    def hangs() -> list[Diagnosis]:
        Event().wait()
        return []

    well = Diagnosis("ok", "c", "well")
    found = examine(
        [
            Examination("a", lambda: raises(StoreUnavailable("the store is away")), 5.0),
            Examination("b", lambda: raises(ZeroDivisionError("never")), 5.0),
            Examination("c", lambda: [well], 5.0),
            Examination("d", hangs, 0.1),
        ]
    )
    levels = [[one.level for one in group] for group in found]
    assert levels == [["critical"], ["unknown"], ["ok"], ["critical"]]
    assert found[0][0].text == "the store is away"
    assert found[3][0].text == "no answer within 0.1 s"


def test_a_crash_in_native_code_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho boom >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    found = tried("engine", "cpu", 30.0)
    assert not found.ok
    assert "exit code -11: boom" in found.text
