"""The report: every promise, kept, broken or not judged, and what was seen. Pure, but for ``write``.

Rules
-----
* A promise that could not be judged is told as that, with the reason; it is not kept.
* Markdown is for people and JSON for machines; the file's name says which.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

from contract import clock, errors, files, version

SCHEMA = "bootseal.conformance/1"
KEPT, BROKEN, UNSEEN = "kept", "broken", "not judged"
FORMS = (".json", ".md")


@dataclasses.dataclass(frozen=True)
class Row:
    """A promise on one host: its ``outcome`` is KEPT, BROKEN or UNSEEN; ``seen`` is the evidence, the violations or the reason."""

    host: str
    promise: str
    says: str
    outcome: str
    seen: tuple[str, ...]


def render(rows: Sequence[Row], plan_name: str, plan_sha256: str, form: str, now: str) -> str:
    """Return the report of ``rows`` in ``form``, one of FORMS."""
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in (KEPT, BROKEN, UNSEEN)}
    if form == ".json":
        head = {
            "schema": SCHEMA,
            "bootseal": version.VERSION,
            "at": now,
            "plan": {"name": plan_name, "sha256": plan_sha256},
        }
        return (
            json.dumps({**head, "counts": counts, "promises": [dataclasses.asdict(row) for row in rows]}, indent=2)
            + "\n"
        )
    lines = [
        f"# {plan_name}: {counts[BROKEN]} of {len(rows)} promises broken",
        "",
        f"Judged {now} by bootseal {version.VERSION}, plan sha256 `{plan_sha256}`: "
        + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()),
    ]
    for host in dict.fromkeys(row.host for row in rows):
        lines += ["", f"## {host}", "", "| promise | | seen |", "|---|---|---|"]
        lines += [
            f"| {row.promise}: {_cell(row.says)} | **{row.outcome}** | {'<br>'.join(_cell(one) for one in row.seen)} |"
            for row in rows
            if row.host == host
        ]
    return "\n".join(lines) + "\n"


def write(path: str, rows: Sequence[Row], plan_name: str, plan_sha256: str) -> None:
    """Write the report to ``path``, whole or not at all; raises OSError or UnsafePath."""
    text = render(rows, plan_name, plan_sha256, os.path.splitext(path)[1], clock.rfc3339())
    files.write_atomically(os.path.abspath(path), text.encode(), 0o644)


def _cell(text: str) -> str:
    """Return ``text`` as a table's cell: no line end, no bar, no markup of its own."""
    shown = errors.printable(text)
    for one in "\\|`*_<>[]":
        shown = shown.replace(one, f"\\{one}")
    return shown
