"""Coverage-guided fuzzing of every parser of bytes from outside: ``make fuzz``, or ``python -m tests.fuzz lock --seconds 600``.

A target is a module beside this one with ``test_one_input(data)``, which raises only where there is a bug, and ``SEEDS``,
inputs worth beginning with. A crash, a hang of ten seconds or more than 512 MiB ends the run with the input in a file.
"""

import argparse
import importlib
import pathlib
import subprocess
import sys
import tempfile

TARGETS = tuple(sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[a-z]*.py")))
_LIMITS = ("-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1")


def main() -> int:
    """Fuzz the named targets, all by default, one after the other; returns 1 when one found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="how long each is fuzzed (default: 60)")
    parser.add_argument("--keep", metavar="DIR", help="where inputs that found something are kept (default: here)")
    wishes = parser.parse_args()
    unknown = [name for name in wishes.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    failed = []
    for name in wishes.targets or TARGETS:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as corpus:
            for index, seed in enumerate(importlib.import_module(f"tests.fuzz.{name}").SEEDS):
                pathlib.Path(corpus, f"seed-{index}").write_bytes(seed)
            kept = f"-artifact_prefix={wishes.keep or '.'}/fuzz-{name}-"
            options = [f"-max_total_time={wishes.seconds}", *_LIMITS, kept]
            child = subprocess.run([sys.executable, "-c", _ONE, name, *options, corpus], check=False)
        if child.returncode != 0:
            failed.append(name)
    if failed:
        print(f"found something: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


_ONE = """
import importlib, sys
import atheris
name = sys.argv.pop(1)
with atheris.instrument_imports():
    target = importlib.import_module(f"tests.fuzz.{name}")
atheris.Setup(sys.argv, target.test_one_input)
atheris.Fuzz()
"""

if __name__ == "__main__":
    sys.exit(main())
