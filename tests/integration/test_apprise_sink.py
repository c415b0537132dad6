"""Apprise against a real mail server and a real web server on loopback."""

import email
from collections.abc import Iterator
from email.message import Message
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from fbtasks.alert import SITE
from fbtasks.errors import ConfigError, DeliveryFailed
from fbtasks.logic.sinks import Sink
from fbtasks.logic.sinks.apprise import AppriseSink
from tests.alerts import first_alert
from tests.backend import Backend
from tests.ports import LOOPBACK, free_port

# Apprise looks for it when it is first used, and does without from Python 3.13 on.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Mailbox:
    """Keeps what the mail server takes."""

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.refuses = False

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuses:
            return "452 no room"
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(email.message_from_bytes(content, policy=default))
        return "250 taken"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mail_url(mailbox: Mailbox) -> Iterator[str]:
    controller = Controller(mailbox, hostname=LOOPBACK, port=free_port())
    controller.start()
    yield f"mailto://{LOOPBACK}:{controller.port}?from=fbtasks@stable.example&to=groom@stable.example"
    controller.stop()


def sink_of(url: str, timeout_s: float = 10.0) -> Sink:
    return AppriseSink("groom", url, timeout_s, {"box-1": "Luna"}, None)


def test_a_groom_gets_a_mail(mail_url: str, mailbox: Mailbox) -> None:
    sink_of(mail_url).send(first_alert(message="Horse in box-1 has been lying for 2 hours"))
    (letter,) = mailbox.letters
    assert letter["Subject"] == "ALERT (warning): Luna (box-1)"
    assert letter["To"] == "groom@stable.example"
    assert "Horse in box-1 has been lying for 2 hours" in str(letter)


def test_a_mail_server_that_refuses_is_tried_again(mail_url: str, mailbox: Mailbox) -> None:
    mailbox.refuses = True
    with pytest.raises(DeliveryFailed, match="Apprise could not send it") as caught:
        sink_of(mail_url).send(first_alert())
    assert caught.value.retryable
    assert str(caught.value) != "Apprise could not send it: FAILURE", "it says why"
    mailbox.refuses = False
    sink_of(mail_url).send(first_alert())
    assert len(mailbox.letters) == 1


@pytest.mark.parametrize(
    ("changes", "title", "kind"),
    [
        ({}, "ALERT (warning): Luna (box-1)", "warning"),
        ({"event": "escalated", "severity": "critical"}, "WORSE (critical): Luna (box-1)", "failure"),
        ({"event": "acknowledged"}, "SEEN TO: Luna (box-1)", "success"),
        ({"event": "cleared"}, "over: Luna (box-1)", "success"),
        ({"camera_id": "box-2", "severity": "info"}, "ALERT (info): box-2", "info"),
        ({"camera_id": SITE, "rule": "storm"}, "ALERT (warning): stable", "warning"),
    ],
)
def test_a_web_service_gets_title_and_kind(backend: Backend, changes: dict[str, str], title: str, kind: str) -> None:
    sink_of(backend.url.replace("http://", "json://")).send(first_alert().model_copy(update=changes))
    (request,) = backend.requests
    assert (request.json["title"], request.json["type"]) == (title, kind)
    assert request.json["message"].startswith("Liegt, bitte prüfen\n")


def test_a_service_that_is_away_or_unwell_is_tried_again(backend: Backend) -> None:
    backend.answer_with([500])
    for url in (backend.url, f"http://{LOOPBACK}:{free_port()}/hunter2"):
        with pytest.raises(DeliveryFailed) as caught:
            sink_of(url.replace("http://", "json://me:hunter2@")).send(first_alert())
        assert caught.value.retryable
        assert "hunter2" not in str(caught.value)


def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"sinks\.groom\.url is none that Apprise knows") as caught:
        sink_of("pigeon://hunter2/loft")
    assert "hunter2" not in str(caught.value)
