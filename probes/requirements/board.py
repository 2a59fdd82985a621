"""What stands of each requirement beside programs: met or not, why, since when. Pure; time is given.

Rules
-----
* A requirement is unmet until a look at it found it met. A look counts from the moment it began: what it found is no newer.
* A finding that no later one renewed in time is stale, and stale is unmet, from the moment its time is over.
* ``since`` is the last change between met and unmet; a new reason alone, or one more look, is none.
* While nothing changes the very same tuple of rows is returned: who drew a conclusion from it may keep it.
* A look that ends after a later one did is not heard.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable

from manifest import serving
from probes.checks import verdict

MOUNT, CHECK, IDENTITY = "mount", "check", "identity"
"""The kinds of requirements that this process looks at itself."""

LOOK_SECONDS = 1.0
"""Between two looks at a mount, and at the identity directory."""
_LOOK_TIMEOUT_SECONDS = 1.0
_STALE_MARGIN_SECONDS = 2.0
"""Two periods, a timeout and this, as PID 1 counts for live checks."""

NOT_LOOKED = "it was not looked at yet"


@dataclasses.dataclass(frozen=True)
class Requirement:
    """What must be so; a finding older than ``stale_after_seconds`` does not count."""

    kind: str
    id: str
    required: bool
    stale_after_seconds: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One requirement as it stands; ``reason`` is empty when it is met, ``since`` is RFC 3339."""

    kind: str
    id: str
    required: bool
    met: bool
    reason: str
    since: str

    @property
    def label(self) -> str:
        """What one word calls it: ``mount:/workspace``, ``check:relay``, ``identity``."""
        return label(self.kind, self.id)


def label(kind: str, name: str) -> str:
    """Return what one word calls the requirement ``name`` of ``kind``; a mount, a check and a program may share a name."""
    return f"{kind}:{name}" if kind in {MOUNT, CHECK} else name


def stale_after(period_seconds: float, timeout_seconds: float) -> float:
    """Return the age in seconds at which a finding is stale that should come every ``period_seconds``."""
    return 2 * period_seconds + timeout_seconds + _STALE_MARGIN_SECONDS


LOOK_STALE_SECONDS = stale_after(LOOK_SECONDS, _LOOK_TIMEOUT_SECONDS)

THE_IDENTITY = Requirement(IDENTITY, IDENTITY, required=True, stale_after_seconds=LOOK_STALE_SECONDS)


def of(readiness: serving.ReadinessPlan) -> tuple[Requirement, ...]:
    """Return what ``readiness`` demands."""
    mounts = (Requirement(MOUNT, mount.path, mount.required, LOOK_STALE_SECONDS) for mount in readiness.mounts)
    checks = (
        Requirement(CHECK, one.name, one.required, stale_after(one.period_seconds, one.check.timeout_seconds))
        for one in readiness.conditions
    )
    return (*mounts, *checks)


@dataclasses.dataclass
class _Standing:
    """What is known of one requirement; ``began`` is the start of the last look that ended, ``began_at`` that in RFC 3339."""

    wanted: Requirement
    row: Row
    found: verdict.Outcome | None = None
    began: float = -math.inf
    began_at: str = ""

    @property
    def fresh_until(self) -> float:
        """The last moment at which the finding counts; infinite while there is none that could grow stale."""
        return math.inf if self.found is None else self.began + self.wanted.stale_after_seconds


class Board:
    """All requirements; it belongs to the event loop.

    ``wall`` tells a monotonic moment in RFC 3339.
    """

    def __init__(self, wanted: Iterable[Requirement], now: float, wall: Callable[[float], str]) -> None:
        """Begin with nothing found."""
        self._wall = wall
        self._standing: dict[tuple[str, str], _Standing] = {}
        self._rows: tuple[Row, ...] = ()
        self._fresh_until = math.inf
        for requirement in wanted:
            self.add(requirement, now)

    def add(self, wanted: Requirement, now: float) -> None:
        """Require ``wanted`` too, from ``now`` on."""
        row = Row(wanted.kind, wanted.id, wanted.required, met=False, reason=NOT_LOOKED, since=self._wall(now))
        self._standing[wanted.kind, wanted.id] = _Standing(wanted, row)
        self._settle(now)

    def take(self, kind: str, name: str, found: verdict.Outcome, began: float, now: float) -> None:
        """Take what a look that began at the monotonic moment ``began`` found; raises KeyError for an unknown requirement."""
        standing = self._standing[kind, name]
        if began < standing.began:
            return
        self.rows(now)  # what time alone has changed until now was a change too
        standing.found, standing.began, standing.began_at = found, began, self._wall(began)
        self._settle(now)

    def rows(self, now: float) -> tuple[Row, ...]:
        """Return every requirement as it stands at ``now``."""
        if now > self._fresh_until:
            self._settle(now)
        return self._rows

    def age_seconds(self, row: Row, now: float) -> float | None:
        """Return how old at ``now`` is what ``row`` says; None before the first look."""
        standing = self._standing[row.kind, row.id]
        return None if standing.found is None else max(0.0, now - standing.began)

    def _settle(self, now: float) -> None:
        """Bring the rows to what is so at ``now``."""
        for standing in self._standing.values():
            standing.row = self._row(standing, now)
        rows = tuple(standing.row for standing in self._standing.values())
        if len(rows) != len(self._rows) or any(new is not old for new, old in zip(rows, self._rows, strict=True)):
            self._rows = rows
        ahead = (standing.fresh_until for standing in self._standing.values())
        self._fresh_until = min((moment for moment in ahead if moment >= now), default=math.inf)

    def _row(self, standing: _Standing, now: float) -> Row:
        found, row = standing.found, standing.row
        if found is None:
            return row
        is_fresh = now <= standing.fresh_until
        met = found.ok and is_fresh
        reason = found.reason if is_fresh else _stale(standing, found)
        if (met, reason) == (row.met, row.reason):
            return row
        since = row.since
        if met != row.met:
            since = self._wall(now if is_fresh else standing.fresh_until)
        return dataclasses.replace(row, met=met, reason=reason, since=since)


def _stale(standing: _Standing, found: verdict.Outcome) -> str:
    why = f"no look at it that began after {standing.began_at} has ended"
    if standing.wanted.kind == MOUNT:
        why = f"{why}: its file system may hang"
    return f"{found.reason}; {why}" if found.reason else why
