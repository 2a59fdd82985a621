"""http: a URL answers with the status, and where the plan says so the body, that it must.

Rules
-----
* No redirect is followed, no proxy asked, no cookie kept; every check has a connection of its own.
* A body is read only to be matched, its first 4 KiB, as UTF-8 and never unpacked.
* A reason holds neither the body nor a header, nor the URL's user and query: they may be secret.
"""

import re
import socket
import urllib.parse
from typing import Any

import aiohttp
import aiohttp.abc

from manifest import plan
from probes.checks import connect, verdict

BODY_LIMIT = 4096
"""A search costs the square of this at worst, and it is done in the event loop."""
_HEADERS = {"User-Agent": "bootseal", "Accept": "*/*", "Accept-Encoding": "identity"}


async def check(wanted: plan.CheckPlan) -> verdict.Outcome:
    """Ask once. There is no deadline here: the caller cancels."""
    url = wanted.url or ""
    try:
        async with aiohttp.ClientSession(
            connector=_connector(wanted.path),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            headers = {name: value for name, value in _HEADERS.items() if name.lower() not in _names(wanted.headers)}
            async with session.get(url, headers={**headers, **wanted.headers}, allow_redirects=False) as response:
                try:
                    return await _judge(wanted, response)
                finally:
                    response.close()  # whatever it still sends is not waited for
    except aiohttp.ClientConnectorDNSError as error:
        return verdict.failed(f"{shown(url)}: {connect.words(error.os_error)}")
    except aiohttp.ClientConnectorError as error:
        return verdict.failed(connect.words(error.os_error))
    except aiohttp.ClientPayloadError:
        return verdict.failed(f"{shown(url)} ended its answer early")
    except aiohttp.ServerDisconnectedError:
        return verdict.failed(f"{shown(url)} closed the connection without an answer")
    except aiohttp.ClientResponseError:
        return verdict.failed(f"{shown(url)} answered what is no HTTP")
    except OSError as error:  # aiohttp's ClientOSError is one
        return verdict.failed(f"{shown(url)}: {connect.words(error)}")
    except (aiohttp.ClientError, ValueError) as error:  # no text of theirs: it may repeat the URL or a header
        return verdict.failed(f"it could not be asked: {type(error).__name__}")


async def _judge(wanted: plan.CheckPlan, response: aiohttp.ClientResponse) -> verdict.Outcome:
    where = shown(wanted.url or "")
    low, high = wanted.status_low, wanted.status_high
    if not low <= response.status <= high:
        expected = f"{low}" if low == high else f"{low}-{high}"
        return verdict.failed(f"{where} answered {response.status}, not {expected}")
    if wanted.body is None:
        return verdict.PASSED
    body = bytearray()
    while len(body) < BODY_LIMIT and (part := await response.content.read(BODY_LIMIT - len(body))):
        body += part
    if re.search(wanted.body, body.decode("utf-8", "replace")) is None:
        return verdict.failed(f"{where} answered {response.status}, and its body does not match")
    return verdict.PASSED


def shown(url: str) -> str:
    """Return ``url`` without what may be secret in it."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "its URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _names(headers: dict[str, str]) -> frozenset[str]:
    return frozenset(name.lower() for name in headers)


def _connector(path: str | None) -> aiohttp.BaseConnector:
    if path is not None:
        return aiohttp.UnixConnector(path=path, force_close=True)
    return aiohttp.TCPConnector(force_close=True, use_dns_cache=False, resolver=_Resolver())


class _Resolver(aiohttp.abc.AbstractResolver):
    """Looks names up as the tcp check does."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
        """Return the addresses of ``host`` as aiohttp wants them; raises OSError when it has none."""
        found = await connect.resolve(host, port)
        return [
            {
                "hostname": host,
                "host": address[0],
                "port": port,
                "family": kind,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for kind, address in found
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """Nothing is kept."""
