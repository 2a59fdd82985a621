"""Log lines of this process beside its events: JSON on standard error, and never a blocked loop."""

import logging

from pythonjsonlogger import json as jsonlogger

from contract import events


class _Stderr(logging.Handler):
    """Writes a line unless nobody takes it within 100 ms."""

    def emit(self, record: logging.LogRecord) -> None:
        events.write_to_stderr(self.format(record).encode("utf-8", "replace") + b"\n")


def begin(boot_id: str, level: str) -> None:
    """Log what is at least as bad as ``level`` (one of serving.LOG_LEVELS), each line with the fields that events have.

    Libraries log their warnings and worse at any level but ``debug``: how they work is nobody's business on a quiet day.
    """
    handler = _Stderr()
    handler.setFormatter(
        jsonlogger.JsonFormatter(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"stage": events.STAGE, "source": "probes", "boot_id": boot_id},
            timestamp="time",
        )
    )
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=ours if level == "debug" else max(ours, logging.WARNING), handlers=[handler], force=True)
    for room in ("probes", "supervisord", "seal", "artifacts"):
        logging.getLogger(room).setLevel(ours)
