"""What was logged: nothing that is critical, no event that is an error. Judges; see ``promise``.

Rules
-----
* Only this boot counts: an engine keeps what earlier boots of the container printed, and what came before this boot's id was first
  printed is theirs.
* CRIT is supervisord's word, and CRITICAL that of many programs; in capital letters, as a word, either is one.
"""

import re

from container.conformance.promise import Judging, Subject, Unseen, Violation, counted

_CRITICAL = re.compile(r"\bCRIT(ICAL)?\b")
_SHOWN = 5


def no_critical_line(subject: Subject) -> Judging:
    """No line of the container's log is critical."""
    log = subject.outside.log
    if log is None:
        raise Unseen(subject.outside.why or "the engine keeps no log that can be read")
    lines = of_this_boot(log, subject.boot.boot_id)
    critical = [line for line in lines if _CRITICAL.search(line)]
    for line in critical[:_SHOWN]:
        yield Violation("the log", f"it says: {line[:300]}", "look for its cause there")
    if len(critical) > _SHOWN:
        yield Violation("the log", f"{len(critical) - _SHOWN} more lines are critical", "look for their cause there")
    return f"{counted(len(lines), 'line')}"


def of_this_boot(log: str, boot_id: str) -> list[str]:
    """Return the lines from the first on that names the boot; all of them where none does."""
    lines = log.splitlines()
    first = next((number for number, line in enumerate(lines) if boot_id in line), 0)
    return lines[first:]


def no_error_event(subject: Subject) -> Judging:
    """No event of this boot is an error."""
    told = subject.inside.told
    for event in told.errors[-_SHOWN:]:
        yield Violation("event", event.strip(), "ask `bootseal events` in the container")
    if told.error_count is not None and told.error_count > _SHOWN:
        yield Violation(
            "event", f"{told.error_count - _SHOWN} more are errors", "ask `bootseal events` in the container"
        )
    if subject.inside.entries.get(subject.run.events) is None:
        raise Unseen(f"there is no {subject.run.events}")
    if told.error_count is None:
        raise Unseen(f"nobody within may read {subject.run.events}")
    return "none"
