"""The measures of the boot, printed: ``make bench``. Ratios within one run count; absolute times are this machine's.

1. launch → sealed and launch → /ready 200 with N trivial programs, next to plain supervisord whose shell seal polls
   ``supervisorctl status`` every 2 s, interleaved in the same run.
2. Stage A before the exec, over an empty ``python -I -c pass``: the interpreter it hands over to is /bin/true.
3. /livez while 100 programs start.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tree as trees

PYTHON = sys.executable
PLAIN_SEAL = """\
until status=$(supervisorctl -c {config} status) ; \\
      ! printf '%s\\n' "$status" | grep -v '^seal ' | grep -qv ' RUNNING ' && [ -n "$status" ]; do sleep 2; done
touch {done}
sleep 1000
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each case (default 5)")
    parser.add_argument("--only", choices=["boot", "stage-a", "livez"], help="one of the three measures")
    parser.add_argument("--programs", type=int, nargs="+", default=[4, 100], help="numbers of programs (default 4 100)")
    options = parser.parse_args()
    print(
        f"# {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    )
    print(f"# median (min-max) of {options.repeat} runs, ms\n")
    if options.only in {None, "boot"}:
        for lasting in (0, 1):
            for number in options.programs:
                report_boot(number, lasting, options.repeat)
    if options.only in {None, "stage-a"}:
        report_stage_a(options.repeat * 4)
    if options.only in {None, "livez"}:
        report_livez(100, options.repeat)


def show(values: list[float]) -> str:
    return f"{statistics.median(values):8.1f} ({min(values):.1f}-{max(values):.1f})"


def report_boot(number: int, lasting: int, repeat: int) -> None:
    sealed, ready, plain = [], [], []
    for _ in range(repeat):
        seal_ms, ready_ms = measure_bootseal(number, lasting)
        sealed.append(seal_ms)
        ready.append(ready_ms)
        plain.append(measure_plain(number, lasting))
    print(f"{number} programs, each up for {lasting} s:")
    print(f"  bootseal  launch -> sealed       {show(sealed)}")
    print(f"  bootseal  launch -> /ready 200   {show(ready)}")
    print(f"  plain supervisord -> shell seal  {show(plain)}")
    print(
        f"  ratio sealed / plain             {statistics.median(sealed) / statistics.median(plain):8.2f}\n", flush=True
    )


def manifest(number: int, lasting: int) -> dict[str, object]:
    program = {"command": ["sleep", "1000"], "ready": {"running": True, "for": f"{lasting}s"}}
    return {"programs": {f"p{index}": program for index in range(number)}}


def measure_bootseal(number: int, lasting: int) -> tuple[float, float]:
    with trees.directory() as root:
        tree = trees.Tree(root, trees.free_port())
        tree.build(manifest(number, lasting), prove=True)
        try:
            started = time.monotonic()
            tree.start()
            seal = until(lambda: os.path.exists(tree.run.seal)) - started
            ready = until(lambda: tree.get("/ready")[0] == 200) - started
            tree.stop()
        finally:
            tree.destroy()
    return seal * 1000, ready * 1000


def measure_plain(number: int, lasting: int) -> float:
    with trees.directory() as root:
        config, done = root / "plain.conf", root / "done"
        head = f"[unix_http_server]\nfile={root}/s.sock\n[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        head += f"pidfile={root}/pid\n[supervisorctl]\nserverurl=unix://{root}/s.sock\n[rpcinterface:supervisor]\n"
        head += "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        script = root / "seal.sh"
        script.write_text(PLAIN_SEAL.format(config=config, done=done))
        body = "".join(f"[program:p{i}]\ncommand=sleep 1000\nstartsecs={lasting}\npriority=10\n" for i in range(number))
        body += f"[program:seal]\ncommand=sh {script}\nstartsecs=0\npriority=99\nautorestart=false\nstopasgroup=true\n"
        config.write_text(head + body)
        environment = {"PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}", "HOME": "/", "TMPDIR": str(root)}
        with (root / "log").open("wb") as log:
            started = time.monotonic()
            child = subprocess.Popen(
                [PYTHON, "-I", "-m", "supervisor.supervisord", "-c", str(config)],
                stdout=log,
                stderr=log,
                env=environment,
            )
            try:
                return (until(done.exists) - started) * 1000
            finally:
                below = trees.descendants(child.pid)
                child.kill()
                child.wait()
                for pid in below:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def until(claim: Callable[[], bool]) -> float:
    while not claim():
        time.sleep(0.002)
    return time.monotonic()


def report_stage_a(repeat: int) -> None:
    with trees.directory() as root:
        tree = trees.Tree(root, trees.free_port())
        tree.build(manifest(4, 1), prove=True)
        prefix = root / "prefix/bin"
        prefix.mkdir(parents=True)
        (prefix / "python").symlink_to("/bin/true")
        path = tree.plan_directory / "plan.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "prefix": str(prefix.parent)}))
        boot = [PYTHON, "-I", "-X", "utf8", "-m", "entrypoint", "boot", "--plan", str(tree.plan_directory)]
        boot += ["--run-dir", tree.run.path]
        empty = [PYTHON, "-I", "-X", "utf8", "-c", "pass"]
        stage_a, bare = [], []
        for _ in range(repeat):
            stage_a.append(measure_process(boot))
            bare.append(measure_process(empty))
    over = statistics.median(stage_a) - statistics.median(bare)
    print("Stage A before the exec:")
    print(f"  python -I -c pass                {show(bare)}")
    print(f"  Stage A, then /bin/true          {show(stage_a)}")
    print(f"  difference                       {over:8.1f}\n", flush=True)


def measure_process(argv: list[str]) -> float:
    environment = {"PATH": os.environ["PATH"], "HOME": "/"}
    started = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return (time.monotonic() - started) * 1000


def report_livez(number: int, repeat: int) -> None:
    times = [moment for _ in range(repeat) for moment in measure_livez(number)]
    points = statistics.quantiles(times, n=1000)
    print(
        f"/livez from its first answer to the seal, {number} programs starting, {len(times)} requests, one connection a boot:"
    )
    print(f"  p50 {points[499]:.2f} ms, p99 {points[989]:.2f} ms, p99.9 {points[998]:.2f} ms, max {max(times):.2f} ms")


def measure_livez(number: int) -> list[float]:
    times: list[float] = []
    with trees.directory() as root:
        tree = trees.Tree(root, trees.free_port())
        tree.build(manifest(number, 1), prove=True)
        try:
            tree.start()
            until(lambda: tree.get("/livez")[0] == 200)
            connection = http.client.HTTPConnection("127.0.0.1", tree.port)
            while not os.path.exists(tree.run.seal):
                started = time.monotonic()
                connection.request("GET", "/livez")
                connection.getresponse().read()
                times.append((time.monotonic() - started) * 1000)
                time.sleep(0.001)
            connection.close()
            tree.stop()
        finally:
            tree.destroy()
    return times


if __name__ == "__main__":
    main()
