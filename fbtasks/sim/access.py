"""Who may watch a camera: basic and digest authentication (RFC 2617)."""

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import md5
from hmac import compare_digest
from typing import Literal

REALM = "fbtasks"
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class Password:
    """What a client must know.

    Attributes:
        scheme: `basic` sends the password in plain, `digest` proves that it is known.
    """

    scheme: Literal["basic", "digest"]
    user: str
    password: str

    def challenge(self, nonce: str) -> str:
        """The header `WWW-Authenticate`; `nonce` is the connection's own."""
        if self.scheme == "basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", nonce="{nonce}"'

    def admits(self, authorization: str, method: str, nonce: str) -> bool:
        """Whether the header `Authorization` of a request shows that the client knows the password."""
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() != self.scheme:
            return False
        if self.scheme == "basic":
            return compare_digest(rest.strip().encode(), b64encode(f"{self.user}:{self.password}".encode()))
        given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        if given.get("nonce") != nonce or given.get("username") != self.user:
            return False
        secret = _hash(f"{self.user}:{REALM}:{self.password}")
        request = _hash(f"{method}:{given.get('uri', '')}")
        return compare_digest(given.get("response", "").encode(), _hash(f"{secret}:{nonce}:{request}").encode())


def _hash(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
