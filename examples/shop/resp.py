"""A tiny redis client: commands and replies in RESP2 over a unix socket.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import os
import socket
import time
from typing import BinaryIO, Self

Reply = str | int | None | list["Reply"]


class RedisError(Exception):
    """Redis answered with an error."""


class Redis:
    """One connection. It is not shared between threads."""

    def __init__(self, path: str, timeout_seconds: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_seconds)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._replies: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._replies.close()
        self._socket.close()

    def ask(self, *words: str | int) -> Reply:
        """Send one command and return its reply; raises RedisError or OSError."""
        encoded = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)]
        self._socket.sendall(b"".join(parts))
        return self._read()

    def _read(self) -> Reply:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2].decode()


def connect(timeout_seconds: float = 5.0) -> Redis:
    """Connect to the redis that ``REDIS_SOCKET`` names; raises OSError."""
    return Redis(os.environ["REDIS_SOCKET"], timeout_seconds)


def connect_patiently(seconds: float) -> Redis:
    """Connect, trying again for ``seconds``: a redis that runs need not accept connections yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
