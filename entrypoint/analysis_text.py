"""An analysis as text for people: the headline, the critical chain, the blame."""

from collections.abc import Sequence

from contract import snapshot
from entrypoint import analysis, critical_chain, presenting

_LONGEST_PHASES = 3
_DEEPEST = 24
"""Links are indented up to here: a chain of hundreds stays on the screen."""
_TOLD_LAG_SECONDS = 0.05
_KINDS = {
    analysis.PHASE: "phase of Stage A",
    critical_chain.SUPERVISORD: "from Stage A's end to its first program",
    "probes": "bootseal's own",
    "stage-b": "bootseal's own",
    "seal": "bootseal's own, from the last readiness on",
}


def render(found: analysis.Analysis, *, coloured: bool) -> str:
    """Return ``found`` as text, with the end of its last line."""
    lines = [
        *_headline(found, coloured=coloured),
        "",
        presenting.styled("Critical chain", presenting.BOLD, coloured=coloured)
        + " (@ when it was ready, + how long it took from its own start to that)",
        *_chain(found, coloured=coloured),
        "",
        presenting.styled("Blame", presenting.BOLD, coloured=coloured) + " (how long each itself took)",
        *_blame(found.blame, coloured=coloured),
    ]
    return "\n".join(lines) + "\n"


def headline(found: analysis.Analysis) -> str:
    """Return in one sentence how far the boot came."""
    since = "Stage A began" if found.generation == 1 else f"generation {found.generation} began"
    if found.phase == snapshot.SEALED:
        when = "" if found.sealed is None else f" {_seconds(found.sealed)} after {since}"
        return f"sealed{', late,' if found.late else ''}{when}"
    why = f": {presenting.plain(found.failure)}" if found.failure else ""
    return f"not sealed, {_seconds(found.asked)} after {since}: {found.phase}{why}"


def _headline(found: analysis.Analysis, *, coloured: bool) -> list[str]:
    style = presenting.GREEN if found.phase == snapshot.SEALED else presenting.RED
    parts = []
    if found.stage_a is not None:
        parts.append(f"Stage A {_seconds(found.stage_a)}")
    if found.handover is not None:
        parts.append(f"supervisord {_seconds(max(0.0, found.handover - (found.stage_a or 0.0)))}")
        if found.sealed is not None:
            parts.append(f"programs and seal {_seconds(max(0.0, found.sealed - found.handover))}")
    identity = f"generation {found.generation} of boot {found.boot_id}"
    lines = [presenting.styled(headline(found), style, coloured=coloured), identity]
    return [*lines, *([" + ".join(parts)] if parts else [])]


def _chain(found: analysis.Analysis, *, coloured: bool) -> list[str]:
    lines = []
    for depth, link in enumerate(found.chain):
        indent = f"{'  ' * (min(depth, _DEEPEST) - 1)}└─" if depth else ""
        lines.append(f"{indent}{_link(link, coloured=coloured)}")
        if link.kind == critical_chain.STAGE_A:
            longest = sorted(found.phases, key=lambda one: (-one.duration_ms, one.name))[:_LONGEST_PHASES]
            listed = ", ".join(f"{one.name} {_seconds(one.duration_ms / 1000)}" for one in longest)
            lines.append(f"{'  ' * (min(depth, _DEEPEST) + 1)}longest: {listed}")
    return lines


def _link(link: critical_chain.Link, *, coloured: bool) -> str:
    if link.at is None:
        still = "" if link.state == snapshot.FAILED else " so far"
        so_far = f" +{_seconds(link.seconds)}{still}" if link.seconds is not None else ""
        style = presenting.RED if link.state == snapshot.FAILED else presenting.YELLOW
        head = presenting.styled(f"{link.name} {link.state}{so_far}", style, coloured=coloured)
        return f"{head}: {presenting.plain(link.reason)}" if link.reason else head
    took = f" +{_seconds(link.seconds)}" if link.seconds is not None else ""
    words = f"{link.name} @{_seconds(link.at)}{took}"
    if link.waited_for is not None and link.waited is not None:
        words += f"  held back {_seconds(link.waited)}, for {link.waited_for} last"
        if link.lag is not None and link.lag >= _TOLD_LAG_SECONDS:
            words += f", spawned {_seconds(link.lag)} after that"
    return words


def _blame(rows: Sequence[analysis.Blame], *, coloured: bool) -> list[str]:
    width = max((len(_column(row.seconds)) for row in rows), default=0)
    names = max((len(row.name) for row in rows), default=0)
    lines = []
    for row in rows:
        note = presenting.styled(_KINDS.get(row.kind, ""), presenting.DIM, coloured=coloured)
        if row.state != snapshot.READY:
            style = presenting.RED if row.state == snapshot.FAILED else presenting.YELLOW
            note = presenting.styled(f"{row.state}: {presenting.plain(row.reason)}", style, coloured=coloured)
        lines.append(f"{_column(row.seconds):>{width}}  {row.name:<{names}}  {note}".rstrip())
    return lines


def _column(seconds: float | None) -> str:
    return "-" if seconds is None else _seconds(seconds)


def _seconds(value: float) -> str:
    return f"{value:.3f}s"
