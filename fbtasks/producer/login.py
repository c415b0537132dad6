"""The header `Authorization` with which an RTSP camera is asked again: basic or digest (RFC 7616, RFC 2617)."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5, sha256
from secrets import token_hex
from urllib.request import parse_http_list, parse_keqv_list


def authorization(challenges: list[str], method: str, url: str, user: str, password: str) -> str | None:
    """The header's value; None when no challenge is of a kind that is known.

    Args:
        challenges: values of the camera's headers `WWW-Authenticate`. Digest goes before basic, which shows the
            password to whoever listens.
        url: as in the request, without user and password.
    """
    by_scheme = {scheme.lower(): rest for scheme, _, rest in (one.strip().partition(" ") for one in challenges)}
    if "digest" in by_scheme:
        # What has no value is left out: a camera may send anything.
        asked = parse_keqv_list([one for one in parse_http_list(by_scheme["digest"]) if one.partition("=")[2]])
        return _digest(asked, method, url, user, password)
    if "basic" in by_scheme:
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    return None


def _digest(asked: dict[str, str], method: str, url: str, user: str, password: str) -> str | None:
    fold = _hash(asked.get("algorithm", "MD5"))
    if fold is None or not asked.keys() >= {"realm", "nonce"}:
        return None
    realm, nonce = asked["realm"], asked["nonce"]
    secret, request = fold(f"{user}:{realm}:{password}"), fold(f"{method}:{url}")
    answer = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    answer |= {name: asked[name] for name in ("opaque", "algorithm") if name in asked}
    if "auth" in asked.get("qop", "").replace(" ", "").split(","):
        once = token_hex(8)
        answer |= {"cnonce": once, "response": fold(f"{secret}:{nonce}:00000001:{once}:auth:{request}")}
        return f"Digest {_quoted(answer)}, nc=00000001, qop=auth"
    answer["response"] = fold(f"{secret}:{nonce}:{request}")
    return f"Digest {_quoted(answer)}"


def _quoted(values: dict[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in values.items())


def _hash(algorithm: str) -> Callable[[str], str] | None:
    match algorithm.upper():
        case "MD5":
            return lambda text: md5(text.encode(), usedforsecurity=False).hexdigest()
        case "SHA-256":
            return lambda text: sha256(text.encode()).hexdigest()
    return None
