"""The socket that ``NOTIFY_SOCKET`` names: datagrams with the kernel's word on who sent them.

Rules
-----
* Nothing here waits: at most ``DATAGRAMS_A_TURN`` are taken in one turn of supervisord's loop. The kernel's queue is short
  (net.unix.max_dgram_qlen), so a flood makes its sender wait, and costs no memory. unix(7): SO_RCVBUF has no effect here.
* Who sent a datagram is what the kernel attached to it (SO_PASSCRED), never what it says.
* Every descriptor that came along is closed, also when its datagram is refused; after the datagram was delivered, for
  that close is the answer that the sender of BARRIER=1 waits for.
* A datagram that did not fit, or whose descriptors did not, is refused whole.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterable
from typing import Any

DATAGRAM_LIMIT = 4096
DATAGRAMS_A_TURN = 32
_DESCRIPTORS = 253
"""SCM_MAX_FD, the most that the kernel passes with one datagram (unix(7))."""
_CREDENTIALS = struct.Struct("=iII")
"""struct ucred: pid, uid, gid (unix(7))."""
_LINGER = struct.Struct("@ii")
_CONTROL_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_DESCRIPTORS * 4)
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


class NotifySocket:
    """The bound socket, in supervisord's socket map."""

    def __init__(
        self,
        path: str,
        socket_map: dict[int, Any],
        deliver: Callable[[bytes, int, int], None],
        refuse: Callable[[str], None],
        report: Callable[[str, Exception], None],
        *,
        mode: int = 0o700,
    ) -> None:
        """Bind at ``path``, replacing what an earlier generation left, with permission bits ``mode``.

        ``deliver(data, pid, uid)`` takes a datagram, ``refuse(reason)`` learns of one that is not taken. Programs of
        other uids need mode 0o666. Raises OSError when the socket cannot be made.
        """
        self._map = socket_map
        self._deliver = deliver
        self._refuse = refuse
        self._report = report
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            before = os.umask(0o777 & ~mode)
            try:
                self._socket.bind(path)
            finally:
                os.umask(before)
        except BaseException:
            self._socket.close()
            raise
        self._map[self._socket.fileno()] = self

    def close(self) -> None:
        """Close the socket; its file stays for the next generation to replace."""
        if self._socket.fileno() >= 0:
            self._map.pop(self._socket.fileno(), None)
            self._socket.close()

    def readable(self) -> bool:
        """Always, until it is closed."""
        return self._socket.fileno() >= 0

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Take what waits, at most ``DATAGRAMS_A_TURN`` datagrams."""
        try:
            for _ in range(DATAGRAMS_A_TURN):
                if self._socket.fileno() < 0 or not self._take_one():
                    return
        except Exception as error:
            self._report("notify socket", error)

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: taking a datagram keeps no state."""

    def _take_one(self) -> bool:
        try:
            data, control, flags, _ = self._socket.recvmsg(DATAGRAM_LIMIT, _CONTROL_BYTES, _FLAGS)
        except (BlockingIOError, InterruptedError):
            return False
        try:
            self._judge(data, control, flags)
        except Exception as error:
            self._report("notify datagram", error)
        finally:
            _close_all(_descriptors(control))
        return True

    def _judge(self, data: bytes, control: list[tuple[int, int, bytes]], flags: int) -> None:
        credentials = _credentials(control)
        if credentials is None:
            self._refuse("a datagram without its sender's credentials")
        elif flags & socket.MSG_TRUNC:
            self._refuse(f"a datagram of pid {credentials[0]} is longer than {DATAGRAM_LIMIT} bytes")
        elif flags & socket.MSG_CTRUNC:
            self._refuse(f"a datagram of pid {credentials[0]} brings more descriptors than can be taken")
        else:
            self._deliver(data, *credentials)


def _credentials(control: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack(data)
            return pid, uid
    return None


def _descriptors(control: list[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.extend(number for (number,) in struct.iter_unpack("=i", data[: len(data) - len(data) % 4]))
    return found


def _close_all(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        with contextlib.suppress(OSError):
            _end_lingering(fd)
        with contextlib.suppress(OSError):
            os.close(fd)


def _end_lingering(fd: int) -> None:
    """Let the close of ``fd`` not wait: socket(7), SO_LINGER makes it wait for a peer that does not read."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return
    sent = socket.socket(fileno=fd)
    try:
        is_on, seconds = _LINGER.unpack(sent.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))
        if is_on and seconds:
            sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(0, 0))
    finally:
        sent.detach()
