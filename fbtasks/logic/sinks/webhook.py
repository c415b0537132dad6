"""A backend's webhook: one POST for each alert."""

import hashlib
import hmac
import ssl
from base64 import b64encode
from time import time
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from fbtasks.alert import Alert
from fbtasks.errors import ConfigError, DeliveryFailed

_RETRYABLE = {408, 425, 429}
MAX_RETRY_AFTER_S = 3600.0
"""Nobody is left alone for longer, whatever they ask: a backend's clock may be wrong."""


class Webhook:
    """Posts each alert as JSON, with its id as `Idempotency-Key`, signed when there is a secret.

    Any 2xx is a success and the body is not read. Redirects are not followed, so that no token goes astray; proxies
    of the environment are not used; the server's certificate is checked against the system's authorities.
    """

    def __init__(
        self, name: str, url: str, *, timeout_s: float, token: str | None = None, secret: str | None = None
    ) -> None:
        """`url` is http or https; a user and password in it are sent as Basic authorisation, `token` as Bearer.

        Raises:
            ConfigError: the URL cannot be posted to or has a user while there is a token too, or the token does not fit
                into a header.
        """
        self.name = name
        try:
            self._url, credentials = _split_credentials(url)
        except ValueError:
            raise ConfigError(
                f"sinks.{name}.url cannot be posted to; write it like https://backend.example/alerts"
            ) from None
        if token and credentials:
            raise ConfigError(f"sinks.{name}.url has a user and there is a token too; only one of them can be sent")
        if token and not (token.isascii() and token.isprintable()):
            raise ConfigError(
                f"sinks.{name}.token has characters that no header can hold; is there a line break in it?"
            )
        # No connection is kept for the next alert: that may be hours away, and a stale one looks like a failure.
        self._headers = {"Content-Type": "application/json", "User-Agent": "fbtasks", "Connection": "close"}
        if token or credentials:
            self._headers["Authorization"] = f"Bearer {token}" if token else f"Basic {credentials}"
        self._secret = secret.encode() if secret else None
        self.timeout_s = timeout_s
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s))

    def send(self, alert: Alert) -> None:
        """See `Sink.send`. The reason of a failure never holds a secret: it names no part of the URL or headers."""
        body = alert.model_dump_json().encode()
        headers = self._headers | {"Idempotency-Key": alert.id}
        if self._secret is not None:
            headers |= signed(body, self._secret, time())
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as error:
            raise DeliveryFailed(_reason(error, self.timeout_s), retryable=True) from None
        response.close()
        _check(response)


def signed(body: bytes, secret: bytes, now: float) -> dict[str, str]:
    """The headers that prove who sent `body`, and when (`now`, unix seconds): HMAC-SHA256 over both."""
    timestamp = str(int(now))
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Fbtasks-Timestamp": timestamp, "Fbtasks-Signature": f"v1={digest}"}


def _check(response: urllib3.BaseHTTPResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    hint = "; redirects are not followed, set the sink's url to the final address" if 300 <= status < 400 else ""
    raise DeliveryFailed(
        f"the backend answered {status}{hint}",
        retryable=status in _RETRYABLE or status >= 500,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


def _retry_after_s(header: str | None) -> float:
    """Seconds that a `Retry-After`, in seconds or a date, asks for; 0 where there is none that can be read."""
    try:
        return min(MAX_RETRY_AFTER_S, max(0.0, urllib3.Retry().parse_retry_after(header))) if header else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _reason(error: Exception, timeout_s: float) -> str:
    """What went wrong, in words that are ours: urllib3's show the address and at times the path."""
    # urllib3 files a refused connection under time-outs.
    if isinstance(error, HTTPTimeout) and not isinstance(error, NewConnectionError):
        return f"the backend did not answer within {timeout_s:g} s"
    cause = error.args[-1] if error.args else error
    if isinstance(error, SSLError):
        detail = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
        return f"the backend's TLS connection was refused: {detail}"
    return f"the connection to the backend failed: {_system_reason(error)}"


def _system_reason(error: BaseException) -> str:
    """The operating system's words for it, from wherever in the chain they are."""
    while not isinstance(error, OSError) or not error.strerror:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return type(error).__name__
        error = inner
    return error.strerror


def _split_credentials(url: str) -> tuple[str, str | None]:
    """The URL without user and password, and these as Basic authorisation wants them.

    Raises:
        ValueError: it cannot be posted to.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or parts.scheme not in ("http", "https"):
        raise ValueError("no web address")
    if parts.username is None:
        return url, None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, b64encode(pair.encode()).decode("ascii")
