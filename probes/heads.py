"""What a client sent, cut into the heads of requests. Pure.

Rules
-----
* A head ends with its first empty line (RFC 9112, 2.1). Empty lines before it are passed over (2.2).
* A head, and all that waits behind the request that is being answered, is at most ``LIMIT`` bytes. What is more is dropped, and
  nothing after it can be a request any more: ``was_cut``.
* What cannot become a head is refused before it is whole: a line that ends without CR, or a beginning that is no method. Its first
  line ends with HTTP/1.0 or HTTP/1.1.
"""

import re
from http import HTTPStatus

LIMIT = 16384
_END = b"\r\n\r\n"
_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0")
_BARE_LF = re.compile(rb"(?<!\r)\n")


class BadHead(Exception):
    """The client does not speak HTTP, or too much of it; ``status`` is the answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Inbox:
    """The bytes of one client that were not yet handed on."""

    __slots__ = ("_data", "_scanned", "was_cut")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._data = b""
        self._scanned = 0
        self.was_cut = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._data

    def take(self, data: bytes) -> None:
        """Take what came in, as far as there is room."""
        room = LIMIT - len(self._data)
        self.was_cut = self.was_cut or len(data) > room
        self._data += data[:room]

    def clear(self) -> None:
        """Forget everything."""
        self._data = b""

    def next_head(self) -> bytes | None:
        """Return the next whole head and forget it, None when it is not whole; raises BadHead."""
        if not self._scanned:
            self._data = self._data.lstrip(b"\r\n")
        end = self._data.find(_END, max(0, self._scanned - len(_END) + 1))
        if end < 0:
            self._refuse_what_never_ends()
            self._scanned = len(self._data)
            return None
        head, self._data = self._data[: end + len(_END)], self._data[end + len(_END) :]
        self._scanned = 0
        if not head[: head.index(b"\r\n")].endswith(_VERSIONS):
            raise BadHead(HTTPStatus.BAD_REQUEST)
        return head

    def _refuse_what_never_ends(self) -> None:
        if self._data and not (self._data[:1].isascii() and self._data[:1].isalpha()):
            raise BadHead(HTTPStatus.BAD_REQUEST)
        if _BARE_LF.search(self._data, self._scanned):  # the byte before is looked at as well
            raise BadHead(HTTPStatus.BAD_REQUEST)
        if self.was_cut or len(self._data) >= LIMIT:
            raise BadHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
