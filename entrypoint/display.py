"""How ``bootseal up`` shows its progress: a live table on a terminal, plain lines elsewhere, or the events as JSON."""

import json
import os
import shlex
import sys
import time
from typing import Any, Protocol, Self

from entrypoint import progress
from manifest import plan, serving

_TICK_SECONDS = 0.1
_STYLES = {"ready": "green", "failed": "red", "started": "yellow", "waiting": "dim", progress.WITHHELD: "yellow"}
_OF_ARTIFACTS = frozenset({"MissingArtifactDetected", "OptionalArtifactMissing"})
_MOST_WARNINGS = 5


class Display(Protocol):
    """Shows a boot; used as a context manager around it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: dict[str, Any], before: progress.Progress, now: progress.Progress, at_seconds: float) -> None:
        """Show one event and what it changed."""

    def note(self, text: str) -> None:
        """Show a remark of ours."""

    def tick(self, now: progress.Progress) -> None:
        """Called about thirty times a second."""

    def end(self, code: int, now: progress.Progress) -> None:
        """The boot ended with exit ``code``."""


def choose(output: str, file: str, loaded: plan.LoadedPlan, state: str) -> Display:
    """Return the display for ``--format output``: "auto" is live on a terminal and text elsewhere."""
    if output == "json":
        return Events()
    places = _Places(file, loaded, state)
    if output == "auto" and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Live(places)
    return Lines(places)


def is_warning(event: dict[str, Any]) -> bool:
    """Say whether ``event`` is told as it came, besides what it changes: a warning, or an artifact that cannot be used."""
    return event.get("level") == "warn" or event.get("event") in _OF_ARTIFACTS


def warnings(event: dict[str, Any]) -> list[str]:
    """Return the lines that tell ``event``: each fault of an artifact has its own, all else one."""
    if event.get("event") in _OF_ARTIFACTS:
        faults = event.get("faults") or [event.get("reason", "")]
        word = "warning" if event.get("event") == "OptionalArtifactMissing" else "error"
        return [progress.printable(f"{word}: artifact {event.get('capability')}: {fault}") for fault in faults]
    if event.get("event") == "ProgramWithheld":
        lack = f"artifact {event.get('artifact')}: {event.get('reason')}"
        return [progress.printable(f"warning: {event.get('program')} is held back: {lack}")]
    return [_warning(event)]


def _warning(event: dict[str, Any]) -> str:
    """Return one line for an event of level warn: what it is about, and why."""
    subject = next((event[key] for key in ("program", "path", "capability") if key in event), "")
    return progress.printable(f"warning: {event['event']} {subject}: {event.get('reason', '')}".rstrip(": "))


def _detail(probes: plan.ProbesPlan) -> str:
    """Return where somebody here is answered detail and the page, "" where nobody is over TCP."""
    match probes.detail.reach:
        case serving.LOOPBACK | serving.OPEN:
            return _url(probes.host, probes.port)
        case serving.OWN:
            return _url(probes.detail.host, probes.detail.port)
        case _:
            return ""


def _url(host: str | None, port: int | None) -> str:
    """Return the address for a browser of this machine."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host or "", host or "")  # noqa: S104  # it is where to look, not where to listen
    return f"http://{serving.address(here, port or 0)}"


class _Places:
    """Where things are, for the lines a person copies."""

    def __init__(self, file: str, loaded: plan.LoadedPlan, state: str) -> None:
        self.title = f"bootseal up {file}"
        probes = loaded.plan.probes
        self.probes = _url(probes.host, probes.port)
        self.detail = _detail(probes)
        self.run = loaded.plan.run_directory
        self.config = loaded.config_path
        self.output = f"{state}/output.log"

    def lines(self) -> list[str]:
        """Return what a person may want next."""
        control, bootseal = (
            shlex.quote(os.path.join(sys.prefix, "bin", name)) for name in ("supervisorctl", "bootseal")
        )
        page = [f"page     {self.detail}/"] if self.detail else []
        return [
            f"probes   {self.probes}/ready{f'  {self.detail}/health' if self.detail else ''}",
            f"control  {control} -c {shlex.quote(self.config)} status",
            f"output   {self.output}",
            *page,
            f"status   {bootseal} status --run-dir {shlex.quote(self.run)}",
        ]

    def last_output(self) -> list[str]:
        """Return the last lines of everything the boot printed."""
        try:
            with open(self.output, encoding="utf-8", errors="replace") as file:
                lines = [line.rstrip() for line in file.readlines()[-200:] if not line.startswith('{"time"')][-8:]
        except OSError:
            return []
        return [progress.printable(line.expandtabs()) for line in lines]


class Events:
    """Every event as one line of JSON, as it was emitted."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def show(self, event: dict[str, Any], _before: progress.Progress, _now: progress.Progress, _at: float) -> None:
        """Print the event."""
        print(json.dumps(event), flush=True)

    def note(self, text: str) -> None:
        """Print the remark to stderr: stdout holds events only."""
        print(f"bootseal up: {text}", file=sys.stderr)

    def tick(self, _now: progress.Progress) -> None:
        """Nothing moves between events."""

    def end(self, _code: int, _now: progress.Progress) -> None:
        """The exit code says it."""


class Lines:
    """A line per change, for logs and pipes."""

    def __init__(self, places: _Places) -> None:
        self._places = places

    def __enter__(self) -> Self:
        print(self._places.title, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def show(self, event: dict[str, Any], before: progress.Progress, now: progress.Progress, at_seconds: float) -> None:
        """Print what changed: a warning, a program's row, the seal, readiness, the failure."""
        if is_warning(event):
            for text in warnings(event):
                self._line(at_seconds, text)
        for row in now.rows:
            if row != before.row(row.name) and row.state != progress.WITHHELD:  # the warning has said it
                self._line(at_seconds, f"{row.name:<20} {row.state:<8} {row.detail}".rstrip())
        if now.sealed_seconds is not None and now.sealed_seconds != before.sealed_seconds:
            self._line(at_seconds, f"sealed; Stage A took {now.stage_a_ms:.0f} ms in {now.phases} phases")
        if now.failure and not before.failure:
            self._line(at_seconds, f"{'FAILED' if now.state == progress.FAILED else 'ENDING'} {now.failure}")
        if now.state != before.state and now.state in {progress.READY, progress.UNREADY}:
            self._readiness(at_seconds, now)

    def _readiness(self, at_seconds: float, now: progress.Progress) -> None:
        if now.state == progress.READY:
            self._line(at_seconds, "READY")
            for line in self._places.lines():
                print(f"          {line}", flush=True)
        elif now.sealed_seconds is not None:
            self._line(at_seconds, f"UNREADY {', '.join(now.missing)}: {now.reason}")

    def _line(self, at_seconds: float, text: str) -> None:
        print(f"{at_seconds:8.3f}s {text}", flush=True)

    def note(self, text: str) -> None:
        """Print the remark."""
        print(f"          {text}", flush=True)

    def tick(self, _now: progress.Progress) -> None:
        """Nothing moves between events."""

    def end(self, code: int, now: progress.Progress) -> None:
        """Say how it ended; after a failure show the last output."""
        if code and now.state == progress.FAILED:
            for line in self._places.last_output():
                print(f"          | {line}")
        print(f"stopped, exit code {code}", flush=True)


class Live:
    """A table that moves, on a terminal; the final state stays on the screen."""

    def __init__(self, places: _Places) -> None:
        from rich import console, live

        self._places = places
        # It was a terminal, and one that is gone must fail a write and end this, not turn it silent.
        self._console = console.Console(force_terminal=True)
        self._live = live.Live(console=self._console, auto_refresh=False, transient=False)
        self._last = 0.0
        self._faults: list[str] = []
        self._warnings: list[str] = []
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: dict[str, Any], _before: progress.Progress, now: progress.Progress, _at: float) -> None:
        """Redraw at once, and keep warnings; of an artifact's faults none makes room for another."""
        if event.get("event") in _OF_ARTIFACTS:
            self._faults += warnings(event)
        elif is_warning(event):
            self._warnings += warnings(event)
        self._draw(now)

    def note(self, text: str) -> None:
        """Keep the remark below the table."""
        self._notes.append(text)

    def tick(self, now: progress.Progress) -> None:
        """Redraw ten times a second."""
        if time.monotonic() - self._last >= _TICK_SECONDS:
            self._draw(now)

    def end(self, code: int, now: progress.Progress) -> None:
        """Leave the last table and the exit code."""
        if code and now.state == progress.FAILED:
            self._notes.extend(f"| {line}" for line in self._places.last_output())
        self._notes.append(f"stopped, exit code {code}")
        self._draw(now)

    def _draw(self, now: progress.Progress) -> None:
        from rich import console, table, text

        self._last = time.monotonic()
        rows = table.Table(box=None, pad_edge=False, show_header=False)
        for row in now.rows:
            style = _STYLES.get(row.state, "")
            moment = f"{row.at_seconds:.2f}s" if row.at_seconds else ""
            rows.add_row(row.name, text.Text(row.state, style=style), moment, text.Text(row.detail, style="dim"))
        below = [text.Text(line, style="yellow") for line in [*self._faults, *self._warnings[-_MOST_WARNINGS:]]]
        below.append(self._headline(now))
        if now.state == progress.READY:
            below.extend(text.Text(line, style="dim") for line in [*self._places.lines(), "Ctrl-C stops"])
        below.extend(text.Text(note) for note in self._notes)
        title = text.Text(self._places.title, style="bold")
        self._live.update(console.Group(title, rows, *below), refresh=True)

    def _headline(self, now: progress.Progress) -> Any:
        from rich import text

        if now.failure:
            return text.Text(f"FAILED {now.failure}", style="bold red")
        if now.state == progress.READY:
            return text.Text(f"READY, sealed after {now.sealed_seconds or 0.0:.2f}s", style="bold green")
        if now.state == progress.UNREADY and now.sealed_seconds is not None:
            return text.Text(f"UNREADY {', '.join(now.missing)}", style="bold red")
        return text.Text(now.state, style="yellow")
