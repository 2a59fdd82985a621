"""All clients of this process, on whatever listener: how many, who goes when there are too many, who was silent too long.

Rules
-----
* A client whose request is being answered is never sent away. Every other one *is silent*: it said nothing yet, is slow in
  sending the head of a request or in taking an answer, or keeps its connection for later.
* Where there is no room, the one that has been silent longest makes it. So somebody who connects is always heard: whoever wants to
  keep others out must connect more often than they need time to send one request.
* At most half of them are held (``probes.waiting``), and no more than three quarters wait for an answer: some are always silent, or
  ask for what is answered at once.
* Silence longer than ``SILENCE_SECONDS`` ends the connection. It begins with the connection, with the first byte of a head and
  with an answer; more bytes of the same head do not begin it anew.
* Every step costs the same however many there are.
"""

import collections
from collections.abc import Callable
from typing import Protocol

SILENCE_SECONDS = 15.0
CLIENTS_LIMIT = 2048


class Silent(Protocol):
    """A client, as far as it can be sent away."""

    def evict(self) -> None:
        """End the connection now."""

    def expire(self) -> None:
        """End the connection, and tell the client why where that makes sense."""

    def leave(self) -> None:
        """End the connection when what is under way is done."""


class Connections:
    """The clients, those that are silent in the order in which they became so."""

    def __init__(self, now: Callable[[], float], limit: int = CLIENTS_LIMIT) -> None:
        """Begin with none; ``now`` is the monotonic clock."""
        self._now = now
        self.limit = limit
        self.evicted = 0
        self._silent: collections.OrderedDict[Silent, float] = collections.OrderedDict()
        self._answered: set[Silent] = set()
        self._coming = 0

    def __len__(self) -> int:
        return len(self._silent) + len(self._answered) + self._coming

    @property
    def answering(self) -> int:
        """How many have a request that is being answered."""
        return len(self._answered)

    @property
    def are_busy(self) -> bool:
        """Whether more than three quarters of all there may be are being answered: then nobody may make it more by waiting."""
        return len(self._answered) > self.limit * 3 // 4

    def come(self, client: Silent) -> None:
        """``client`` is here, for whom room was made."""
        self._coming -= 1
        self.be_silent(client)

    def stay_away(self) -> None:
        """Who was to come did not."""
        self._coming -= 1

    def be_silent(self, client: Silent) -> None:
        """``client`` came, began a head, or has its answer: its silence begins now."""
        self._answered.discard(client)
        self._silent[client] = self._now()
        self._silent.move_to_end(client)

    def be_answered(self, client: Silent) -> None:
        """``client`` asked, and stays until it is answered."""
        if self._silent.pop(client, None) is not None:
            self._answered.add(client)

    def forget(self, client: Silent) -> None:
        """``client`` is gone."""
        self._silent.pop(client, None)
        self._answered.discard(client)

    def make_room(self) -> bool:
        """Keep a place for one more client, who then comes or stays away; False: all that are here are being answered."""
        has_room = len(self) < self.limit or self.evict_one()
        self._coming += has_room
        return has_room

    def evict_one(self) -> bool:
        """Send the client away that has been silent longest; False: there is none."""
        if not self._silent:
            return False
        client, _ = self._silent.popitem(last=False)
        self.evicted += 1
        client.evict()
        return True

    def expire(self) -> None:
        """Send everybody away who has been silent too long."""
        oldest_allowed = self._now() - SILENCE_SECONDS
        while self._silent and next(iter(self._silent.values())) < oldest_allowed:
            client, _ = self._silent.popitem(last=False)
            client.expire()

    def end(self) -> None:
        """Let everybody leave: the silent at once, the others with their answer."""
        for client in (*self._silent, *self._answered):
            client.leave()
