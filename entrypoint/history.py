"""What the events of the last boot in a run directory tell when nobody can be asked. Pure.

Rules
-----
* The last boot is the one of the last event that has a boot; only its events count.
* A cause is what the first failure said: what follows it is its consequence.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from contract import reasons


@dataclasses.dataclass(frozen=True)
class Story:
    """The last boot, by its events.

    ``pid`` is PID 1's and ``started_at`` the start, None and "" where its first event is not there any more; ``first_at`` is of the
    oldest that is. ``phase`` is the phase of Stage A that has begun and not ended, "" for none, and ``phase_since`` when it began;
    ``supervised`` says that supervisord took over. ``failure`` is the cause of a failed boot, ``ending`` of a container that
    ended by itself, ``stop`` when somebody asked for its end; "" for none. ``program`` is who failed last before the end, not
    counting those that only needed another, with its ``last_output``. Times are RFC 3339.
    """

    boot_id: str = ""
    pid: int | None = None
    started_at: str = ""
    phase: str = ""
    phase_since: str = ""
    supervised: bool = False
    sealed_at: str = ""
    failure: str = ""
    ending: str = ""
    stop: str = ""
    program: str = ""
    last_output: tuple[str, ...] = ()
    first_at: str = ""
    last_at: str = ""


def last_boot(events: Iterable[dict[str, Any]]) -> Story:
    """Return the story of the last boot in ``events``, oldest first; an empty one when there is none."""
    story = Story()
    for event in events:
        boot_id = event.get("boot_id")
        if not isinstance(boot_id, str) or not boot_id:
            continue
        if boot_id != story.boot_id:
            story = Story(boot_id=boot_id, first_at=_text(event, "time"))
        story = _after(dataclasses.replace(story, last_at=_text(event, "time")), event)
    return story


def _after(story: Story, event: dict[str, Any]) -> Story:
    match event.get("event"):
        case "BootstrapStarted":
            pid = event.get("pid")
            return dataclasses.replace(story, started_at=_text(event, "time"), pid=pid if type(pid) is int else None)
        case "PhaseStarted":
            return dataclasses.replace(story, phase=_text(event, "phase"), phase_since=_text(event, "time"))
        case "PhaseCompleted":
            return dataclasses.replace(story, phase="", phase_since="")
        case "SupervisorStarted":
            return dataclasses.replace(story, supervised=True, phase="", phase_since="")
        case "BootstrapCompleted":
            return dataclasses.replace(story, sealed_at=story.sealed_at or _text(event, "time"))
        case "BootstrapFailed" if not story.failure:
            return dataclasses.replace(story, failure=f"{_text(event, 'phase')}: {_text(event, 'cause')}")
        case "ProgramFailed" if not story.failure and not story.ending and not reasons.holding(_text(event, "reason")):
            return dataclasses.replace(story, program=_text(event, "program"), last_output=_lines(event))
        case "ContainerEnding" if not story.ending:
            program, lines = _text(event, "program"), _lines(event)
            return dataclasses.replace(story, ending=_text(event, "cause"), program=program, last_output=lines)
        case "StopRequested" if not story.stop:
            return dataclasses.replace(story, stop=_text(event, "time"))
    return story


def _lines(event: dict[str, Any]) -> tuple[str, ...]:
    lines = event.get("last_output")
    return tuple(str(line) for line in lines) if isinstance(lines, list) else ()


def _text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    return value if isinstance(value, str) else ""
