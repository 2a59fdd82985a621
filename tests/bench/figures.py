"""Samples of a measure and the table they are printed as."""

import dataclasses
import statistics

_ENOUGH_FOR_P99 = 100


@dataclasses.dataclass
class Row:
    """The samples of one line, and why some are missing."""

    name: str
    is_detail: bool = False
    samples: list[float] = dataclasses.field(default_factory=list)
    missed: list[str] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float | None:
        """The median, or None without any sample."""
        return statistics.median(self.samples) if self.samples else None


@dataclasses.dataclass
class Table:
    """Rows by name in the order of their first mention; ratios are to the medians of the rows in ``bases``."""

    title: str
    bases: tuple[str, ...] = ()
    digits: int = 1
    unit: str = "ms"
    rows: dict[str, Row] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def row(self, name: str, *, is_detail: bool = False) -> Row:
        """Return the row called ``name``; a detail has no ratio."""
        return self.rows.setdefault(name, Row(name, is_detail))

    def add(self, name: str, sample: float, *, is_detail: bool = False) -> None:
        """Add a sample."""
        self.row(name, is_detail=is_detail).samples.append(sample)

    def show(self) -> str:
        """Return the table as text: median (min-max), the ratios, and what is missing."""
        bases = [base for base in self.bases if base in self.rows]
        width = max((len(name) for name in self.rows), default=0)
        lines = [f"{self.title} [{self.unit}]"]
        lines += [self._line(row, bases, width) for row in self.rows.values()]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, ""])

    def _line(self, row: Row, bases: list[str], width: int) -> str:
        tries = len(row.samples) + len(row.missed)
        reason = f"  missed {len(row.missed)} of {tries}: {row.missed[0]}" if row.missed else ""
        if row.median is None:
            return f"  {row.name:<{width}}  {'-':>9}{reason}"
        low, high = min(row.samples), max(row.samples)
        text = f"  {row.name:<{width}}  {row.median:9.{self.digits}f} ({low:.{self.digits}f}-{high:.{self.digits}f})"
        if len(row.samples) >= _ENOUGH_FOR_P99:
            text += f" p99 {statistics.quantiles(row.samples, n=100)[-1]:.{self.digits}f}"
        ratios = [] if row.is_detail or row.name in bases else [self._ratio(row, self.rows[base]) for base in bases]
        return f"{text:<{width + 36}}{'  '.join(ratio for ratio in ratios if ratio)}{reason}".rstrip()

    @staticmethod
    def _ratio(row: Row, base: Row) -> str:
        if row.median is None or not base.median:
            return ""
        return f"{row.median / base.median:.3f} x {base.name}"
