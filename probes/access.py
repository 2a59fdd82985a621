"""Who may read what goes beyond the probes: /health, /v1/*, and the page. The decision is pure; the token is read from its file.

Rules
-----
* Over TCP a client is its address: nothing that it says of itself (X-Forwarded-For) makes it another. But where only loopback is
  answered, what says that it was forwarded (``FORWARDED``) comes from elsewhere, through a proxy beside us.
* A token is compared in constant time and read from its file, or what it is a link to, at each request. A file that is missing, unreadable, empty or
  shorter than ``TOKEN_BYTES`` closes detail (503); it never opens it.
* A page in somebody's browser must not read what only that browser's machine may. A request that another site's page makes is
  refused (Fetch Metadata, Origin); opening the page by a link is none. Where no token is asked for, the Host header must be an
  address or ``localhost``: a name may have been pointed at us by anybody (DNS rebinding).
* The page itself holds no data, so that it can ask for the token; no other path is without.
* What a client sent is neither logged nor repeated.
"""

import dataclasses
import hmac
import ipaddress
import os
import urllib.parse
from http import HTTPStatus

from contract import errors, files
from manifest import serving

TOKEN_BYTES = 16
_TOKEN_LIMIT = 4096
PAGE = "/"
FORWARDED = ("Forwarded", "X-Forwarded-For", "Via")
"""What a proxy adds (RFC 7239; RFC 9110, 7.6.3)."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is known of a request: the client's address, headers ("" where one is missing), whether it has one of ``FORWARDED``."""

    client: str
    path: str = PAGE
    host: str = ""
    origin: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    authorization: str = ""
    is_forwarded: bool = False


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a request is not answered; ``headers`` of its own."""

    status: HTTPStatus
    why: str
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class NoToken(errors.BootsealError):
    """The token that clients must show cannot be had."""


def judge_client(plan: serving.ProbesPlan, asked: Asked) -> Refusal | None:
    """Return why ``asked`` is refused over TCP whatever token it shows, or None."""
    detail = plan.detail
    if detail.reach == serving.LOOPBACK and (asked.is_forwarded or not is_loopback(asked.client)):
        why = "this is answered to clients on loopback only: ask from inside the container, or name an address in probes.detail of the manifest"
        return Refusal(HTTPStatus.FORBIDDEN, why)
    if is_from_another_site(asked):
        return Refusal(HTTPStatus.FORBIDDEN, "this is not answered to the pages of other sites")
    if detail.token_file is None:
        own = {plan.host, detail.host} - {None}
        if asked.host and not is_plain_host(asked.host) and host_of(asked.host) not in own:
            why = "this is answered under an IP address or localhost only: ask for one of them, or have a token asked for with probes.detail in the manifest"
            return Refusal(HTTPStatus.FORBIDDEN, why)
    return None


def wanted_token(plan: serving.ProbesPlan, asked: Asked) -> str | None:
    """Return the file of the token that ``asked`` must show, or None."""
    return None if asked.path == PAGE else plan.detail.token_file


def judge_token(asked: Asked, wanted: bytes) -> Refusal | None:
    """Return why ``asked`` is refused where the token ``wanted`` must be shown, or None."""
    scheme, _, shown = asked.authorization.partition(" ")
    is_right = hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), wanted)
    if scheme.lower() == "bearer" and is_right:
        return None
    why = "this is answered to clients that show the token: Authorization: Bearer TOKEN"
    return Refusal(HTTPStatus.UNAUTHORIZED, why, {"WWW-Authenticate": "Bearer"})


def closed(why: errors.BootsealError) -> Refusal:
    """Return the refusal of everybody while the token cannot be had."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(why), {"Retry-After": "1"})


def read_token(path: str) -> bytes:
    """Return the token in the file ``path`` without its line end; raises NoToken."""
    what, remedy = f"token file {path}", "have whoever mounts it write a token there; nothing is answered without"
    try:
        token = files.read_bounded(os.path.realpath(path), _TOKEN_LIMIT).rstrip(b"\r\n")
    except OSError as error:
        raise NoToken(what, errors.describe_os_error(error), remedy) from error
    except errors.UnsafePath as error:
        raise NoToken(what, error.why, remedy) from error
    if len(token) < TOKEN_BYTES:
        raise NoToken(what, f"it holds {len(token)} bytes, and a token has at least {TOKEN_BYTES}", remedy)
    return token


def is_loopback(address: str) -> bool:
    """Say whether ``address`` is one of this machine's loopback: 127.0.0.0/8, ::1, and the former in IPv6 (RFC 4291, 2.5.5.2)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def is_from_another_site(asked: Asked) -> bool:
    """Say whether a browser says that the page of another site makes this request."""
    if asked.origin and urllib.parse.urlsplit(_url(asked.origin)).netloc.lower() != asked.host.lower():
        return True
    return asked.fetch_site in {"cross-site", "same-site"} and asked.fetch_mode != "navigate"


def is_plain_host(host: str) -> bool:
    """Say whether the Host header ``host`` is an IP address or ``localhost``, with or without a port."""
    name = host_of(host)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def host_of(host: str) -> str:
    """Return the Host header ``host`` without its port, brackets and final dot, in lower case (RFC 9112, 3.2)."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _url(origin: str) -> str:
    """Return ``origin`` as urlsplit takes it: "" for what it would refuse (an opaque one is ``null``: no host of ours)."""
    try:
        urllib.parse.urlsplit(origin)
    except ValueError:
        return ""
    return origin
