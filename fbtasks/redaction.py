"""Taking credentials out of what people get to read."""

import re
from urllib.parse import urlsplit

HIDDEN = "***"

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)\S*@", re.IGNORECASE)
"""Up to the last `@` of the word: passwords with `@`, `/` or `#` that nobody encoded are seen in the wild."""
_NAMED = re.compile(r"((?:passw(?:or)?d|pass|pwd|secret|token)=)[^&\s'\"]+", re.IGNORECASE)
"""Some cameras take their password in the path: `rtsp://host/user=admin_password=…_channel=1_stream=0.sdp`."""


def redact(text: str) -> str:
    """The text without the credentials of any URL in it."""
    return _NAMED.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


def redact_url(url: str) -> str:
    """The URL without user, password and query, nor the path of a web address, where hooks keep their key.

    A URL that cannot be taken apart for certain is hidden as a whole.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return HIDDEN
    if "@" in parts.path + parts.query + parts.fragment:  # a password with an unencoded `/`, `?` or `#`
        return HIDDEN
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    netloc = f"{host}:{port}" if port else host
    if "@" in parts.netloc:
        netloc = f"{HIDDEN}@{netloc}"
    is_hook = parts.scheme in {"http", "https"} and parts.path not in {"", "/"}
    path = f"/{HIDDEN}" if is_hook else redact(parts.path)
    return f"{parts.scheme}://{netloc}{path}" + (f"?{HIDDEN}" if parts.query else "")
