"""An analysis as a picture: a self-contained SVG timeline of phases and programs, up to the seal.

Rules
-----
* It needs nothing beside itself: no script, no font, no image; light and dark by its own style sheet.
* Each bar is told in words as well, in its ``title``, and the whole in ``desc``: colour alone says nothing.
* All text from outside is escaped, and what XML cannot carry is written out. The same analysis gives the same bytes.
* The axis ends a little after the seal, or with the last thing that is known: what came later runs out of the picture.
"""

import math
from xml.sax import saxutils

from contract import boot_record, errors, records, snapshot
from entrypoint import analysis, analysis_text, boot_steps

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR = 1200, 190, 70, 74, 22, 14
_MOST_TICKS = 10
_ROOM = 1.06
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#1f2328}.dim{fill:#59636e}.title{font-size:16px;font-weight:600}
.end{text-anchor:end}.middle{text-anchor:middle}.ground{fill:#fff}.grid{stroke:#d1d9e0}
.phase{fill:#8250df}.supervisord{fill:#59636e}.waiting{fill:#e6eaef}.starting{fill:#d4a72c}.ready{fill:#2da44e;opacity:.45}
.failed{fill:#cf222e}.running{stroke:#1f2328;stroke-width:2}.seal{stroke:#0969da;stroke-width:2}.sealed{fill:#0969da}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.dim{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#3d444d}
.phase{fill:#ab7df8}.supervisord{fill:#9198a1}.waiting{fill:#2a313c}.starting{fill:#d29922}.ready{fill:#3fb950}.failed{fill:#f85149}
.running{stroke:#f0f6fc}.seal{stroke:#4493f8}.sealed{fill:#4493f8}}
"""
_ACCESSIBLE = 'role="img" aria-labelledby="title desc"'
_LEGEND = (
    ("phase", "phase of Stage A"), ("supervisord", "supervisord starts"), ("waiting", "held back"), ("starting", "spawned"),
    ("ready", "ready"), ("failed", "failed"),
)  # fmt: skip


@records.dataclass(frozen=True)
class _Scale:
    end: float

    def x(self, seconds: float) -> float:
        """Return where ``seconds`` is; what lies beyond the axis is at its end."""
        share = min(1.0, max(0.0, seconds / self.end))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


@records.dataclass(frozen=True)
class _Bar:
    style: str
    start: float
    end: float


@records.dataclass(frozen=True)
class _Row:
    name: str
    told: str
    bars: tuple[_Bar, ...]
    running: float | None = None
    state: str = ""


def render(found: analysis.Analysis) -> str:
    """Return ``found`` as an SVG document."""
    rows = _rows(found)
    scale = _Scale(_end(found))
    bottom = _TOP + _ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 56}" {_ACCESSIBLE}>',
        f'<title id="title">{_text(f"Boot timeline: {analysis_text.headline(found)}")}</title>',
        f'<desc id="desc">{_text(_description(rows))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{bottom + 56}"/>',
        f'<text class="title" x="12" y="26">{_text(analysis_text.headline(found), 130)}</text>',
        f'<text class="dim" x="12" y="44">generation {found.generation} of boot {_text(found.boot_id)}</text>',
        *_axis(scale, bottom),
    ]
    for number, row in enumerate(rows):
        parts += _drawn(row, _TOP + _ROW * number, scale)
    if found.sealed is not None:
        parts.append(_line("seal", scale.x(found.sealed), _TOP - 6, bottom + 4))
        parts.append(f'<text class="sealed middle" x="{scale.x(found.sealed):.1f}" y="{bottom + 17}">sealed</text>')
    return "\n".join([*parts, *_legend(bottom + 40), "</svg>"]) + "\n"


def _rows(found: analysis.Analysis) -> list[_Row]:
    rows = [_phase(one) for one in found.phases]
    if found.handover is not None:
        begun = min(found.stage_a or 0.0, found.handover)
        told = f"supervisord starts: from {_seconds(begun)} to {_seconds(found.handover)}"
        rows.append(_Row("supervisord", told, (_Bar("supervisord", begun, found.handover),)))
    return rows + [_program(step, found) for step in found.steps]


def _phase(one: boot_record.PhaseTiming) -> _Row:
    end = one.started_seconds + one.duration_ms / 1000
    told = f"phase {one.name}: from {_seconds(one.started_seconds)} to {_seconds(end)}"
    return _Row(one.name, told, (_Bar("phase", one.started_seconds, end),))


def _program(step: boot_steps.Step, found: analysis.Analysis) -> _Row:
    held_from = found.handover or 0.0
    spawned = step.spawned if step.spawned is not None else found.asked if step.failed is None else step.failed
    bars = [_Bar("waiting", held_from, spawned)]
    words = [] if step.spawned is None else [f"spawned {_seconds(step.spawned)}"]
    if step.running is not None:
        words.append(f"RUNNING {_seconds(step.running)}")
    if step.ready is not None and step.spawned is not None:
        words.append(f"ready {_seconds(step.ready)}")
        bars += [_Bar("starting", step.spawned, step.ready), _Bar("ready", step.ready, max(found.asked, step.ready))]
    elif step.state == snapshot.FAILED:
        failed = found.asked if step.failed is None else step.failed
        words.append(f"failed {_seconds(failed)}")
        bars.append(_Bar("failed", spawned if step.spawned is not None else held_from, failed))
    elif step.spawned is not None:
        bars.append(_Bar("starting", step.spawned, found.asked))
    if step.waited_for is not None:
        words.append(f"waited for {step.waited_for} last")
    if step.restarts:
        words.append(f"{step.restarts} restarts")
    if step.ready is None:
        words.append(f"not ready: {step.state}: {step.reason}")
    kind = "bootseal's" if step.kind != boot_steps.PROGRAM else "program" if step.required else "optional program"
    told = f"{kind} {step.name}: {', '.join(words)}"
    return _Row(step.name, told, tuple(bars), step.running, step.state if step.ready is None else "")


def _end(found: analysis.Analysis) -> float:
    """Return the length of the axis in seconds, above 0."""
    if found.sealed is not None:
        return max(0.001, found.sealed * _ROOM)
    moments = [found.stage_a, found.handover]
    for step in found.steps:
        moments += [step.spawned, step.running, step.ready]
    last = max((one for one in moments if one is not None), default=0.0)
    is_under_way = found.phase == snapshot.BOOTING or last == 0.0
    return max(0.001, (found.asked if is_under_way else min(found.asked, last * 1.5)) * _ROOM)


def _description(rows: list[_Row]) -> str:
    return "; ".join(row.told for row in rows)


# --- drawing ----------------------------------------------------------------------------------------------------------


def _drawn(row: _Row, top: float, scale: _Scale) -> list[str]:
    base = top + _BAR - 2
    parts = [
        f"<g><title>{_text(row.told)}</title>",
        f'<text class="end" x="{_LEFT - 10}" y="{base:g}">{_text(row.name, 26)}</text>',
    ]
    for bar in row.bars:
        start, end = scale.x(bar.start), scale.x(bar.end)
        if end > start or bar.style != "waiting":
            width = max(1.0, end - start)
            parts.append(
                f'<rect class="{bar.style}" x="{start:.1f}" y="{top:g}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
            )
    if row.running is not None and row.running <= scale.end:
        parts.append(_line("running", scale.x(row.running), top - 1, top + _BAR + 1))
    if row.state:
        parts.append(f'<text x="{_WIDTH - _RIGHT + 6}" y="{base:g}">{_text(row.state)}</text>')
    return [*parts, "</g>"]


def _axis(scale: _Scale, bottom: float) -> list[str]:
    step = _tick(scale.end)
    parts = []
    for number in range(math.floor(scale.end / step) + 1):
        x = scale.x(number * step)
        parts.append(_line("grid", x, _TOP - 6, bottom))
        parts.append(f'<text class="dim middle" x="{x:.1f}" y="{_TOP - 12}">{number * step:g} s</text>')
    return parts


def _tick(end: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that divides the axis into few enough parts."""
    power = 10.0 ** math.floor(math.log10(end / _MOST_TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if end / (power * factor) <= _MOST_TICKS)


def _legend(y: float) -> list[str]:
    parts, x = [], 12
    for style, words in _LEGEND:
        parts.append(f'<rect class="{style}" x="{x}" y="{y - 10:g}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="dim" x="{x + 17}" y="{y:g}">{words}</text>')
        x += 34 + 7 * len(words)
    parts.append(_line("running", x + 4, y - 11, y + 3))
    parts.append(f'<text class="dim" x="{x + 12}" y="{y:g}">supervisord says RUNNING</text>')
    return parts


def _line(style: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{style}" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{bottom:g}"/>'


def _text(text: str, longest: int = 0) -> str:
    """Return ``text`` as XML carries it, shortened to ``longest`` characters where that is given."""
    shown = errors.printable(text)
    return saxutils.escape(f"{shown[: longest - 1]}…" if longest and len(shown) > longest else shown)


def _seconds(value: float) -> str:
    return f"{value:.3f} s"
