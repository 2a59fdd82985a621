"""This process's copy of PID 1's ledger: what replaces it, what confirms it, when it is stale. Pure; time is given.

Rules
-----
* A ledger of another boot or of another PID 1 is refused, and the refusal is remembered until one is taken.
* A higher generation always wins; within a generation an older revision never replaces a newer one.
* A change is merged only where it leaves out nothing: it begins at or before our revision and ends at or after it. Else
  a message was lost, and the ledger must be read again.
* Only a ledger taken, or a heartbeat naming our very revision, confirms the copy. Any other heartbeat says that
  something was missed, and confirms nothing.
"""

from contract import snapshot
from probes import readiness


class LedgerCopy:
    """The newest ledger of this boot, and how fresh it is."""

    def __init__(self, boot_id: str, pid1_start: int, now: float, wall: str) -> None:
        """Begin without a ledger at the monotonic moment ``now``, in RFC 3339 ``wall``."""
        self._boot_id = boot_id
        self._pid1_start = pid1_start
        self._ledger: snapshot.Snapshot | None = None
        self._confirmed = now
        self._since = wall
        self._phase_since = wall
        self._refusal = ""

    @property
    def ledger(self) -> snapshot.Snapshot | None:
        """The newest ledger, however old."""
        return self._ledger

    def take(self, whole: snapshot.Snapshot, now: float, wall: str) -> bool:
        """Take ``whole``, read at ``now``; say whether it is ours and not older than what we have."""
        if not self._is_ours(whole):
            return False
        if self._ledger is not None and _order(whole) < _order(self._ledger):
            return False
        self._replace(whole, now, wall)
        return True

    def apply(self, change: snapshot.Snapshot, after: int, now: float, wall: str) -> bool:
        """Merge ``change``, which holds the programs changed after revision ``after``; False: read the ledger again."""
        ours = self._ledger
        if not self._is_ours(change) or ours is None or change.generation != ours.generation:
            return False
        if not after <= ours.revision <= change.revision:
            return False
        self._replace(snapshot.merge(ours, change), now, wall)
        return True

    def confirm(self, revision: int, now: float, wall: str) -> bool:
        """Take a heartbeat that names ``revision``; False: it is not ours, read the ledger again."""
        if self._ledger is None or revision != self._ledger.revision:
            return False
        self._note(now, wall)
        return True

    def reading(self, now: float) -> readiness.Reading:
        """Return the copy as it stands at ``now``."""
        return readiness.Reading(
            self._ledger, max(0.0, now - self._confirmed), self._since, self._phase_since, self._refusal
        )

    def _is_ours(self, other: snapshot.Snapshot) -> bool:
        if other.boot_id != self._boot_id:
            self._refusal = f"a ledger of boot {other.boot_id[:64]} was refused: this is boot {self._boot_id}"
        elif other.pid1_start != self._pid1_start:
            self._refusal = "a ledger of another PID 1 was refused"
        else:
            return True
        return False

    def _replace(self, newer: snapshot.Snapshot, now: float, wall: str) -> None:
        if self._ledger is None or (self._ledger.phase, self._ledger.generation) != (newer.phase, newer.generation):
            self._phase_since = wall
        self._ledger = newer
        self._refusal = ""
        self._note(now, wall)

    def _note(self, now: float, wall: str) -> None:
        if now >= self._confirmed:  # an answer to an earlier question may come later
            self._confirmed, self._since = now, wall


def _order(ledger: snapshot.Snapshot) -> tuple[int, int]:
    return ledger.generation, ledger.revision
