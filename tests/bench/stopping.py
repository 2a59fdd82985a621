"""SIGTERM → exit, with programs that end at once and with programs that need their time.

Measures
--------
* From before the signal to the end of the last process of the whole tree, by pidfd. Each system is sent the signal that its
  manual names for "stop everything and exit".
* Programs that need 1.5 s are given 10 s by every system that has such a limit.
"""

import signal

import figures
import launching
import rounds
import systems
import workers


def report(options: rounds.Options) -> None:
    """Measure and print SIGTERM → exit."""
    for number, stop_ms in ((5, 0), (12, 0), (12, 1500)):
        repeat = options.repeat if not stop_ms else max(1, options.repeat // 2)
        _report_one(workers.Scene(number, stop_ms=stop_ms), repeat)


def _report_one(scene: workers.Scene, repeat: int) -> None:
    kind = f"that each need {scene.stop_ms / 1000:g} s" if scene.stop_ms else "that end at once"
    table = figures.Table(f"stop -> every process gone, {scene.number} programs {kind}", (systems.PLAIN,))

    def trial(system: systems.System, into: figures.Table) -> None:
        launching.settle(system)
        began, ended = system.stop()
        into.add(system.name, (max(ended) - began) * 1000)

    kinds = rounds.everyone()
    others = {kind.name: signal.Signals(kind.stop_signal).name for kind in kinds if kind.stop_signal != signal.SIGTERM}
    table.notes += [f"{name} is sent {number}, its own way to stop everything" for name, number in others.items()]
    rounds.run(table, kinds, scene, repeat, trial, with_seal=False)
