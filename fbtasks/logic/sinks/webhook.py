"""The backend's webhook: one POST for each alert."""

import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from fbtasks.alert import Alert
from fbtasks.errors import ConfigError, DeliveryFailed
from fbtasks.settings import WebhookSettings

_NO_URL = "webhook.url cannot be posted to; write it like https://backend.example/alerts"
_RETRYABLE = {408, 425, 429}


class Webhook:
    """Posts each alert as JSON, with its id as `Idempotency-Key`.

    Any 2xx is a success and the body is not read. Redirects are not followed, so that no token goes astray; proxies
    of the environment are not used; the server's certificate is checked against the system's authorities.
    """

    name = "webhook"

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        """`url` is http or https; a user and password in it are sent as Basic authorisation, `token` as Bearer.

        Raises:
            ConfigError: the URL cannot be posted to or has a user while there is a token too, or the token does not fit
                into a header.
        """
        self._url, credentials = _split_credentials(url)
        if token and credentials:
            raise ConfigError("webhook.url has a user and webhook.token is set; only one of them can be sent")
        if token and not (token.isascii() and token.isprintable()):
            raise ConfigError("webhook.token has characters that no header can hold; is there a line break in it?")
        # No connection is kept for the next alert: that may be hours away, and a stale one looks like a failure.
        self._headers = {"Content-Type": "application/json", "User-Agent": "fbtasks", "Connection": "close"}
        if token or credentials:
            self._headers["Authorization"] = f"Bearer {token}" if token else f"Basic {credentials}"
        self.timeout_s = timeout_s
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s))

    def send(self, alert: Alert) -> None:
        """See `Sink.send`. The reason of a failure never holds a secret: it names no part of the URL or headers."""
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=alert.model_dump_json().encode(),
                headers=self._headers | {"Idempotency-Key": alert.id},
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as error:
            raise DeliveryFailed(_reason(error, self.timeout_s), retryable=True) from None
        response.close()
        _check(response.status)


def webhook_of(settings: WebhookSettings) -> Webhook | None:
    """The webhook of the settings, None when they name none.

    Raises:
        ConfigError: as `Webhook` says.
    """
    if settings.url is None:
        return None
    token = settings.token.get_secret_value() if settings.token else None
    return Webhook(settings.url.get_secret_value(), token, settings.timeout_s)


def _check(status: int) -> None:
    if 200 <= status < 300:
        return
    hint = "; redirects are not followed, set webhook.url to the final address" if 300 <= status < 400 else ""
    raise DeliveryFailed(f"the backend answered {status}{hint}", retryable=status in _RETRYABLE or status >= 500)


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
    """The URL without user and password, and these as Basic authorisation wants them."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError(_NO_URL) from None
    if not whole or parts.scheme not in ("http", "https"):
        raise ConfigError(_NO_URL)
    if parts.username is None:
        return url, None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, b64encode(pair.encode()).decode("ascii")
