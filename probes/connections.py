"""All clients of this process, on whatever listener: how many, who goes when there are too many, who was silent too long.

Rules
-----
* A client whose request is being answered is never sent away. Every other one *is silent*: it said nothing yet, is slow in
  sending the head of a request or in taking an answer, or keeps its connection for later.
* Where there is no room, the one that has been silent longest makes it. So somebody who connects is heard, unless everybody here is
  being answered: whoever wants to keep others out must connect more often than they need time to send one request.
* At most half of them are held (``probes.waiting``), and no more than three quarters wait for an answer: some are always silent, or
  ask for what is answered at once.
* Silence longer than ``SILENCE_SECONDS`` ends the connection. It begins with the connection, with the first byte of a head and
  with an answer; more bytes of the same head do not begin it anew.
* An answer that is not taken is memory. What all of them owe together is at most ``UNTAKEN_LIMIT``: where it is more, those that have
  owed for ``GRACE_SECONDS`` go, the oldest first, and no large answer is begun until there is room again.
* Every step costs the same however many there are.
"""

import collections
from collections.abc import Callable
from typing import Protocol

SILENCE_SECONDS = 15.0
CLIENTS_LIMIT = 2048
UNTAKEN_LIMIT = 32 * 1024 * 1024
GRACE_SECONDS = 1.0
KERNEL_BYTES = 64 * 1024
"""What the kernel holds of an answer that is not taken, beside what we do: twice ``accepting.SEND_BYTES`` (socket(7))."""


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
        self._untaken: collections.OrderedDict[Silent, tuple[float, int]] = collections.OrderedDict()
        self._untaken_bytes = 0

    def __len__(self) -> int:
        return len(self._silent) + len(self._answered) + self._coming

    @property
    def answering(self) -> int:
        """How many have a request that is being answered."""
        return len(self._answered)

    @property
    def coming(self) -> int:
        """How many are on the way: room was made for them."""
        return self._coming

    @property
    def untaken_bytes(self) -> int:
        """What all answers that are not taken hold of memory."""
        return self._untaken_bytes

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
        self.settle(client)

    def owe(self, client: Silent, count: int) -> None:
        """``client`` does not take the ``count`` bytes of an answer that are left."""
        self.settle(client)
        self._untaken[client] = (self._now(), count + KERNEL_BYTES)
        self._untaken_bytes += count + KERNEL_BYTES

    def settle(self, client: Silent) -> None:
        """``client`` took its answer."""
        _, count = self._untaken.pop(client, (0.0, 0))
        self._untaken_bytes -= count

    def may_owe(self) -> bool:
        """Say whether there is memory for one more large answer; who has owed too long makes room for it."""
        oldest_allowed = self._now() - GRACE_SECONDS
        while self._untaken and self._untaken_bytes > UNTAKEN_LIMIT:
            client, (since, _) = next(iter(self._untaken.items()))
            if since > oldest_allowed:
                break
            self.settle(client)
            if self._silent.pop(client, None) is not None:  # else it takes a stream, which is cut by its own rule
                self.evicted += 1
                client.evict()
        return self._untaken_bytes <= UNTAKEN_LIMIT

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
        self.settle(client)
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
