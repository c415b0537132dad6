"""Answers to a camera's challenge."""

import re

from fbtasks.producer.login import authorization
from fbtasks.sim.access import Password

URL = "rtsp://127.0.0.1/box"


def test_basic() -> None:
    # The example of RFC 7617.
    assert authorization(['Basic realm="x"'], "DESCRIBE", URL, "Aladdin", "open sesame") == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    )


def test_digest_without_protection_is_what_a_camera_admits() -> None:
    camera = Password("digest", "groom", "oats")
    header = authorization([camera.challenge("n-1")], "DESCRIBE", URL, "groom", "oats")
    assert header is not None
    assert camera.admits(header, "DESCRIBE", "n-1")
    wrong = authorization([camera.challenge("n-1")], "DESCRIBE", URL, "groom", "barley")
    assert wrong is not None
    assert not camera.admits(wrong, "DESCRIBE", "n-1")


def test_digest_with_protection_and_another_hash() -> None:
    challenge = 'Digest realm="a, b", nonce="n", qop="auth, auth-int", algorithm=SHA-256, opaque="o"'
    header = authorization([challenge], "DESCRIBE", URL, "groom", "oats")
    assert header is not None
    assert re.search(r'response="[0-9a-f]{64}"', header)
    for part in ('realm="a, b"', "qop=auth", "nc=00000001", 'opaque="o"', 'algorithm="SHA-256"', f'uri="{URL}"'):
        assert part in header


def test_digest_is_preferred_and_what_is_not_known_is_not_answered() -> None:
    both = ['Basic realm="x"', ' Digest realm="x", nonce="n"']
    assert str(authorization(both, "DESCRIBE", URL, "groom", "oats")).startswith("Digest ")
    assert authorization(["Bearer x"], "DESCRIBE", URL, "groom", "oats") is None
    assert authorization(['Digest realm="x", nonce="n", algorithm=MD4'], "DESCRIBE", URL, "groom", "oats") is None
    assert authorization(['Digest nonsense, realm=, nonce="n"'], "DESCRIBE", URL, "groom", "oats") is None
