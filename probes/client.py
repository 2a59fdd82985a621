"""One client, before and beside the HTTP library: what it sends reaches the library as one whole head at a time.

Rules
-----
* Until a head is whole a client costs its connection and at most ``heads.LIMIT`` bytes: no task, no parser.
* The next head is handed on when the request before it is answered. What is not HTTP ends the connection with an answer.
* A request's body is never read: it is answered, and the connection ends. What the client still sends is taken and dropped for
  at most ``LINGER_SECONDS``, because closing on unread bytes would take the answer back (RFC 9112, 9.6).
* A client that closed its side may still wait for its answer, and has it if it comes within ``LINGER_SECONDS``; one whose request
  is held is gone at once.
* What a client does not take of its answers is told to ``connections``; no further request of its is answered meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from probes import connections, heads, response, waiting

LINGER_SECONDS = 1.0
UNTAKEN_BYTES = 16 * 1024
"""A client of whose answer more is left here is slow in taking it, until no more than a quarter is."""


class Answerer(asyncio.Protocol):
    """The library's half of a connection."""

    def hand_over(self, head: bytes) -> bool:
        """Take a whole head; say whether it is a request, or an error that is answered like one."""
        raise NotImplementedError

    def let_go(self) -> None:
        """End, and leave the connection as it is."""
        raise NotImplementedError


class Client(asyncio.Protocol):
    """A connection; ``answerer`` makes the library's half of it when the first head is whole."""

    __slots__ = (
        "_answerer",
        "_connections",
        "_exchange",
        "_inbox",
        "_is_leaving",
        "_is_over",
        "_is_slow",
        "_place",
        "_refused",
        "_transport",
        "is_being_answered",
    )

    def __init__(
        self,
        known: connections.Connections,
        answerer: Callable[["Client"], Answerer],
        refused: Callable[[int], None],
    ) -> None:
        """``refused`` is told the status of what was answered without the library."""
        self._connections = known
        self._answerer = answerer
        self._refused = refused
        self._inbox = heads.Inbox()
        self._exchange: Answerer | None = None
        self._transport: asyncio.Transport | None = None
        self._place: waiting.Place | None = None
        self._is_leaving = False
        self._is_over = False
        self._is_slow = False
        self.is_being_answered = False

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNTAKEN_BYTES)
        self._connections.come(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._is_over:
            return
        begins = self._inbox.is_empty
        self._inbox.take(data)
        if not self.is_being_answered:
            self._hand_on(begins=begins)

    def eof_received(self) -> bool:
        """The client sends no more; return whether the connection is to stay a little."""
        self._is_leaving = True
        if not self.is_being_answered or self._place is not None or self._transport is None:
            return False
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._connections.forget(self)
        self._transport = None
        self._is_over = True
        self._inbox.clear()
        if self._place is not None:
            self._place.leave()
            self._place = None
        if self._exchange is not None:
            self._exchange.connection_lost(exc)
            self._exchange = None

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._is_slow = True
        if self._transport is not None and not self._is_over:
            self._connections.owe(self, self._transport.get_write_buffer_size())
        if self._exchange is not None:
            self._exchange.pause_writing()

    def resume_writing(self) -> None:
        """The client takes what is written."""
        self._is_slow = False
        self._connections.settle(self)
        if self._exchange is not None:
            self._exchange.resume_writing()

    # --- what the library's half tells ---

    def begin_answer(self) -> None:
        """Its request is looked at: it stays until it is answered."""
        self._connections.be_answered(self)

    @property
    def is_one_too_many(self) -> bool:
        """Whether so many are being answered that its request should not wait for anything."""
        return self._connections.are_busy

    @property
    def may_be_owed(self) -> bool:
        """Whether there is memory for a large answer that may not be taken."""
        return self._connections.may_owe()

    def end_answer(self) -> None:
        """The answer is there, and on its way."""
        if self._transport is not None and not self._is_over:
            self._connections.be_silent(self)

    def next_request(self, *, keeps: bool, has_body: bool) -> None:
        """The answer is written; go on with the next head, or see the client off."""
        self.is_being_answered = False
        if self._transport is None or self._is_over:
            return
        if keeps and not self._is_leaving:
            self._hand_on(begins=True)
        else:
            self._see_off(has_more=has_body or self._inbox.was_cut or not self._inbox.is_empty)

    def hold(self, room: waiting.WaitingRoom, seconds: float, answer: Callable[[bool], bytes], *, keeps: bool) -> bool:
        """Hold the request, and answer it when ``room`` lets go of it; say whether it is held at all.

        Then the library's half is let go of: a held request costs no task. ``answer`` returns the bytes of the answer, after
        which the connection is kept or not.
        """
        if self._is_leaving or self._is_over:
            return False
        self._place = room.enter(seconds, lambda: self._answer_held(answer, keeps=keeps))
        if self._place is not None and self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.let_go()
        return self._place is not None

    # --- what the registry calls ---

    def evict(self) -> None:
        """End the connection now."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    def expire(self) -> None:
        """End the connection; a client in the middle of a head is told why."""
        if self.is_being_answered or self._is_over or self._inbox.is_empty:
            self.evict()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def leave(self) -> None:
        """End the connection, with the answer to its request where there is one."""
        self._is_leaving = True
        if not self.is_being_answered and self._transport is not None:
            self._transport.close()

    # --- within ---

    def _hand_on(self, *, begins: bool) -> None:
        """Hand the next head on when it is whole; ``begins``: nothing of it was there before."""
        try:
            head = self._inbox.next_head()
        except heads.BadHead as error:
            self._refuse(error.status)
            return
        if head is None:
            if begins and not self._inbox.is_empty:
                self._connections.be_silent(self)
            return
        self.is_being_answered = True
        if self._exchange is None:
            assert self._transport is not None  # noqa: S101  # bytes come over a connection
            self._exchange = self._answerer(self)
            self._exchange.connection_made(self._transport)
            if self._is_slow:  # a held answer is not taken yet, and this half was not there to be told
                self._exchange.pause_writing()
        if not self._exchange.hand_over(head):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._refused(status)
        self._connections.be_silent(self)
        transport.write(response.refusal(status))
        self._see_off(has_more=True)

    def _answer_held(self, answer: Callable[[bool], bytes], *, keeps: bool) -> None:
        self._place = None
        if self._transport is None or self._is_over:
            return
        keeps = keeps and not self._is_leaving
        self.end_answer()
        self._transport.write(answer(keeps))
        self.next_request(keeps=keeps, has_body=False)

    def _see_off(self, *, has_more: bool) -> None:
        """End our side; where the client sends more, drop that until it ends its own."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._is_over = True
        self._inbox.clear()
        if not has_more or self._is_leaving:
            transport.close()
            return
        with contextlib.suppress(OSError, NotImplementedError):
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
