"""The measures, printed: ``make bench``.

Ratios within one run count; absolute times are this machine's. Everything is measured next to plain supervisord and next to
every peer that is on PATH, interleaved in the same run.
"""

import argparse
import compileall
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import closures
import dying
import interpreting
import launching
import peers
import probing
import resting
import rounds
import stopping
import tree as trees
import trials
import workers

_MEASURES: dict[str, Callable[[rounds.Options], None]] = {
    "boot": launching.report,
    "seal": launching.report_seal,
    "respawn": dying.report_respawn,
    "unready": dying.report_unready,
    "stop": stopping.report,
    "idle": resting.report_idle,
    "memory": resting.report_memory,
    "stage-a": interpreting.report_stage_a,
    "livez": interpreting.report_livez,
    "closures": closures.report,
    "requests": probing.report_requests,
    "held": probing.report_held,
    "probing": probing.report_probing,
    "status": probing.report_status,
}
_ROOMS = ("contract", "manifest", "artifacts", "supervisord", "seal", "probes", "entrypoint")


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=_positive, default=5, help="rounds of each measure (default 5)")
    parser.add_argument(
        "--only", choices=list(_MEASURES), nargs="+", default=list(_MEASURES), help="some of the measures"
    )
    parser.add_argument("--programs", type=_positive, nargs="+", default=[4, 100, 500], help="default 4 100 500")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long the idle trees rest (default 60)")
    parser.add_argument(
        "--probing-seconds", type=float, default=60.0, help="how long the probe server is asked (default 60)"
    )
    asked = parser.parse_args()
    options = rounds.Options(asked.repeat, tuple(asked.programs), asked.idle_seconds, asked.probing_seconds)
    signal.signal(signal.SIGTERM, _leave)
    trials.become_subreaper()
    with trials.AT_EXIT:
        try:
            _say_where(options)
            for name in asked.only:
                began = time.monotonic()
                print(f"## {name}\n", flush=True)
                _MEASURES[name](options)
                print(f"({time.monotonic() - began:.0f} s)\n", flush=True)
        finally:
            trials.sweep()


def _say_where(options: rounds.Options) -> None:
    """Print what the numbers belong to."""
    uncompiled = [name for name in _ROOMS if not compileall.compile_dir(_room(name), quiet=2)]
    uid = trees.other_uid()
    lines = [
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.2f}",
        f"Python {platform.python_version()}, supervisor {metadata.version('supervisor')}",
        f"every system runs as uid {os.geteuid() if uid is None else uid}; programs: {workers.describe()}",
        f"our bytecode is {'not compiled, so our starts cost more' if uncompiled else 'compiled, as in an image'}",
        f"median (min-max) of {options.repeat} rounds, where a measure says nothing else",
        *(f"not measured: {kind.name} ({kind.absent()})" for kind in peers.ALL if kind.absent()),
    ]
    print("\n".join(f"# {line}" for line in lines), end="\n\n", flush=True)


def _room(name: str) -> str:
    module = sys.modules.get(name) or __import__(name)
    return str(Path(module.__file__ or "").parent)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _leave(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
