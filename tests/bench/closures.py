"""What verifying closures at boot costs, next to ``openssl dgst -sha256`` under ``xargs -P`` on the same files in the same run.

Measures
--------
* The phase: reading ``closures.lock`` and verifying, in an interpreter that runs already, as Stage A does. What the
  interpreter and the imports cost before that is told, and is in no ratio: Stage A pays it for other reasons too.
* Warm: every file is in the page cache. Cold: the cache is dropped before each trial, which only root may do.
* Memory: the largest RSS of one process (VmHWM of proc(5), getrusage(2) for workers), and in a trial of its own the largest sum of PSS.

``PYTHONPATH=.:tests/integration:tests/bench python tests/bench/closures.py --files 5000 --megabytes 200`` makes a smaller tree.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import consumption
import figures
import rounds

from artifacts import closure, lock

_DROP = Path("/proc/sys/vm/drop_caches")
_FILES_PER_DIRECTORY = 17
_SPREAD = 1.5
"""Of the sizes' logarithm: many small files and a few of megabytes, as trees of packages are."""
_RATIO_BASE = "openssl dgst -sha256"
_CHILD = """
import time, sys, json, resource
began = time.monotonic()
sys.path.insert(0, sys.argv[1])
from artifacts import lock, verification
from manifest import provisions
root, sha256, way = sys.argv[2:]
imported = time.monotonic()
locked = lock.load(root + "/closures.lock", sha256)
read = time.monotonic()
artifacts = tuple(provisions.ArtifactPlan(one.id, root + "/tree", True, "tree", way) for one in locked.closures)
verdicts = verification.verify(locked, artifacts, root)
done = time.monotonic()
# Of this process ru_maxrss would count what it was before its exec, too.
own = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")]
rss = [size / 1024 for size in (*own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)]
print(json.dumps({"import": imported - began, "lock": read - imported, "phase": done - imported, "rss": max(rss),
                  "faults": [verdict.reason for verdict in verdicts if verdict.reason]}))
"""


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree of files below ``root``/tree, and the digest of its lock beside it."""

    root: str
    sha256: str
    files: tuple[str, ...]
    size: int


def report(options: rounds.Options) -> None:
    """Measure and print all of it on 2 GB in 50,000 files."""
    measure(options.repeat, 50_000, 2_000_000_000)


def measure(repeat: int, files: int, size: int) -> None:
    """Measure and print all of it on ``size`` bytes in ``files`` files."""
    with tempfile.TemporaryDirectory(prefix="bootseal-bench-") as place:
        if shutil.disk_usage(place).free < 2 * size:
            print(f"not measured: {place} has no room for {size / 1e6:.0f} MB\n", flush=True)
            return
        print(
            f"again: PYTHONPATH=.:tests/integration:tests/bench python tests/bench/closures.py --repeat {repeat} --files {files} --megabytes {size // 1_000_000}\n"
        )
        large = _made(f"{place}/large", files, size)
        small = _made(f"{place}/small", 1000, 4_000_000)
        nothing = _made(f"{place}/nothing", 0, 0)
        _warm(large, repeat)
        _cold(large, repeat)
        _memory(large)
        _few(small, nothing, repeat)


def _warm(tree: Tree, repeat: int) -> None:
    _openssl(tree)
    table = figures.Table(f"{_say(tree)}, warm", (_RATIO_BASE,))
    for _ in range(repeat):
        table.add(_RATIO_BASE, _openssl(tree))
        _add(table, tree, "digest")
        _add(table, tree, "metadata")
    print(table.show(), flush=True)


def _cold(tree: Tree, repeat: int) -> None:
    if not os.access(_DROP, os.W_OK):
        print("cold: not measured, only root may drop the page cache\n", flush=True)
        return
    table = figures.Table(f"{_say(tree)}, cold", (_RATIO_BASE,))
    for _ in range(min(repeat, 3)):
        _drop_caches()
        table.add(_RATIO_BASE, _openssl(tree))
        for way in ("digest", "metadata"):
            _drop_caches()
            _add(table, tree, way)
    table.notes.append("the cache of this machine; what lies below it (a hypervisor's) is not dropped")
    print(table.show(), flush=True)


def _memory(tree: Tree) -> None:
    table = figures.Table(f"memory while verifying {_say(tree)}", unit="MiB")
    for way in ("digest", "metadata"):
        table.add(f"{way}: largest RSS of one process", _verify(tree, way)["rss"])
        with subprocess.Popen(_argv(tree, way), stdout=subprocess.DEVNULL) as child:
            most, most_processes = 0.0, 0
            while child.poll() is None:
                pids = [child.pid, *_children(child.pid)]
                most = max(most, sum(consumption.pss(pid) or 0.0 for pid in pids))
                most_processes = max(most_processes, len(pids))
                time.sleep(0.01)
        table.add(f"{way}: largest sum of PSS, {most_processes} processes", most)
    print(table.show(), flush=True)


def _few(small: Tree, nothing: Tree, repeat: int) -> None:
    table = figures.Table("the phase with little to verify", digits=2)
    for _ in range(4 * repeat):
        table.add("nothing declared", _verify(nothing, "digest")["phase"] * 1000)
        for way in ("digest", "metadata"):
            table.add(f"{_say(small)}, {way}", _verify(small, way)["phase"] * 1000)
    print(table.show(), flush=True)


def _add(table: figures.Table, tree: Tree, way: str) -> None:
    took = _verify(tree, way)
    table.add(f"{way}: the phase", took["phase"] * 1000)
    table.add(f"{way}: of it, reading the lock", took["lock"] * 1000, is_detail=True)
    table.add(f"{way}: before it, imports", took["import"] * 1000, is_detail=True)


def _verify(tree: Tree, way: str) -> dict[str, float]:
    child = subprocess.run(_argv(tree, way), stdout=subprocess.PIPE, check=True, timeout=600)
    took = json.loads(child.stdout)
    if took.pop("faults"):
        raise RuntimeError(f"the tree is not as it was locked: {child.stdout.decode()}")
    return took


def _argv(tree: Tree, way: str) -> list[str]:
    package = str(Path(__file__).parents[2])
    return [sys.executable, "-I", "-X", "utf8", "-c", _CHILD, package, tree.root, tree.sha256, way]


def _openssl(tree: Tree) -> float:
    processes = str(len(os.sched_getaffinity(0)))
    argv = ["xargs", "-0", "-n", "500", "-P", processes, "openssl", "dgst", "-sha256"]
    names = "\0".join(tree.files).encode()
    began = time.monotonic()
    subprocess.run(argv, input=names, stdout=subprocess.DEVNULL, cwd=f"{tree.root}/tree", check=True, timeout=600)
    return (time.monotonic() - began) * 1000


def _drop_caches() -> None:
    os.sync()
    _DROP.write_text("3\n")


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _say(tree: Tree) -> str:
    return f"{tree.size / 1e6:.0f} MB in {len(tree.files)} files"


def _made(root: str, files: int, size: int) -> Tree:
    """Make a tree, the same each time, and its lock."""
    os.makedirs(f"{root}/tree")
    entries, names = [], []
    for name, data in _contents(files, size):
        path = f"{root}/tree/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        names.append(name)
        entries.append(closure.file(f"./tree/{name}", 0o644, len(data), hashlib.sha256(data).hexdigest()))
    for folder, _, _ in os.walk(f"{root}/tree"):
        os.chmod(folder, 0o755)
        entries.append(closure.directory(closure.recorded(folder, root), 0o755))
    locked = closure.Lock((closure.make("tree", "tree", "./tree", entries),) if files else ())
    data = lock.dump(locked)
    Path(f"{root}/closures.lock").write_bytes(data)
    os.sync()
    return Tree(root, hashlib.sha256(data).hexdigest(), tuple(names), sum(entry.size for entry in entries))


def _contents(files: int, size: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(1)
    weights = [chance.lognormvariate(0, _SPREAD) for _ in range(files)]
    total = sum(weights)
    block = chance.randbytes(int(max(weights, default=0) / (total or 1) * size) + 1)
    for number, weight in enumerate(weights):
        folder = (
            f"node_modules/package-{number // (3 * _FILES_PER_DIRECTORY):04}/lib/{number // _FILES_PER_DIRECTORY % 3}"
        )
        yield f"{folder}/file-{number:05}.js", number.to_bytes(4, "big") + block[: int(weight / total * size)]


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--megabytes", type=int, default=2000)
    asked = parser.parse_args()
    measure(asked.repeat, asked.files, asked.megabytes * 1_000_000)


if __name__ == "__main__":
    main()
