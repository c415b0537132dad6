"""Whatever is logged, no credential is read."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fbtasks.logs import JsonFormatter, RedactingFormatter, configure
from fbtasks.redaction import redact, redact_url

PASSWORDS = ["hunter2", "p@ss", "a:b", "100%25", "sl/ash", "ha#sh", "que?ry", "quo'te", "12/34", "ümläut"]


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(written: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.getLogger("test")
    handler = logging.StreamHandler(written)
    handler.setFormatter(RedactingFormatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


@pytest.mark.parametrize("password", PASSWORDS)
def test_the_password_of_a_url_is_not_logged(log: logging.Logger, written: io.StringIO, password: str) -> None:
    log.warning("camera %s: cannot open %s", "box-3", f"rtsp://admin:{password}@10.0.0.7:554/stream")
    line = written.getvalue()
    assert password not in line
    assert "admin" not in line
    assert "camera box-3: cannot open rtsp://***@10.0.0.7:554/stream" in line


@pytest.mark.parametrize("password", PASSWORDS)
def test_the_password_in_a_traceback_is_not_logged(log: logging.Logger, written: io.StringIO, password: str) -> None:
    def connect(url: str) -> None:
        try:
            raise OSError(f"no route to {url}")  # noqa: TRY301 - what a library does
        except OSError as error:
            raise RuntimeError(f"gave up on {url}") from error

    try:
        connect(f"redis://:{password}@host:6379/0")
    except RuntimeError:
        log.exception("lost")
    text = written.getvalue()
    assert "Traceback" in text
    assert "no route to redis://***@host:6379/0" in text
    assert password not in text


def test_a_message_of_several_lines_is_told_on_one(log: logging.Logger, written: io.StringIO) -> None:
    log.error("Cannot connect to %s.\n%s\n", "redis", "Trying again")
    assert written.getvalue() == "ERROR Cannot connect to redis. Trying again\n"


def test_every_url_of_a_line_is_cleaned() -> None:
    line = "tried rtsp://a:b@one/1, rtsps://c:d@two/2 and http://e@three"
    assert redact(line) == "tried rtsp://***@one/1, rtsps://***@two/2 and http://***@three"


@pytest.mark.parametrize(
    "text",
    ["rtsp://10.0.0.7:554/live", "mail bob@example.org", "a://b and c@d", "box-3 at 12:30", "redis://[::1]:6379/0"],
)
def test_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_password_in_the_path_is_hidden() -> None:
    url = "rtsp://10.0.0.7:554/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp"
    assert "tlJwpbo6" not in redact(f"cannot open {url}")
    assert "tlJwpbo6" not in redact_url(url)


def test_a_long_line_costs_little() -> None:
    assert redact("a.b+" * 50_000) == "a.b+" * 50_000


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("rest", ["10.0.0.7", "10.0.0.7:554/live?token=geheim", "[fe80::1]:554/", "host/a@b"])
def test_a_url_to_print_holds_no_credential(password: str, rest: str) -> None:
    shown = redact_url(f"rtsp://admin:{password}@{rest}")
    assert password not in shown
    assert "admin" not in shown
    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
        ("redis://host", "redis://host"),
        ("rediss://user@[::1]:6380/1", "rediss://***@[::1]:6380/1"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?***"),
        ("postgresql://me:pw@db/horses?password=pw", "postgresql://***@db/horses?***"),
        ("https://hooks.example.org/services/T0/B0/key", "https://hooks.example.org/***"),
        ("rtsp://host:port/", "***"),
        ("rtsp://u:12/34@host/", "***"),
        ("http://[broken", "***"),
    ],
)
def test_what_is_printed_of_a_url(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.fixture
def json_log(written: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.json")
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter("infer"))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def test_as_json_a_line_is_an_object_with_camera_and_number(json_log: logging.Logger, written: io.StringIO) -> None:
    json_log.warning("camera %s, frame %d: %s", "box-3", 17, "not a JPEG\nat all")
    json_log.warning("camera %s: %s", "box-4", "no answer")
    json_log.warning("camera trouble")
    with_both, with_camera, without = map(json.loads, written.getvalue().splitlines())
    assert (with_both["camera"], with_both["seq"]) == ("box-3", 17)
    assert with_both["message"] == "camera box-3, frame 17: not a JPEG at all"
    assert (with_both["level"], with_both["logger"], with_both["role"]) == ("WARNING", "test.json", "infer")
    assert with_both["time"].endswith("+00:00")
    assert with_camera["camera"] == "box-4"
    assert "seq" not in with_camera
    assert "camera" not in without


@pytest.mark.parametrize("password", PASSWORDS)
def test_as_json_no_password_is_logged_and_nothing_else_is_lost(
    json_log: logging.Logger, written: io.StringIO, password: str
) -> None:
    try:
        raise OSError(f"no route to redis://:{password}@host:6379/0")  # noqa: TRY301 - what a library does
    except OSError:
        json_log.exception("camera %s: cannot open %s", "box-3", f"rtsp://admin:{password}@10.0.0.7/stream")
    told = json.loads(written.getvalue())
    assert password not in written.getvalue()
    assert told["message"] == "camera box-3: cannot open rtsp://***@10.0.0.7/stream"
    assert "no route to redis://***@host:6379/0" in told["error"]
    assert told["camera"] == "box-3"


def test_the_key_in_the_path_of_a_hook_is_not_logged_by_libraries() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure("logic", "DEBUG")
        assert root.level == logging.DEBUG
        for name in ("urllib3.connectionpool", "apprise"):
            assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
