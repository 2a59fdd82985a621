"""What our own processes cost before they do anything: Stage A over an empty interpreter, and /livez meanwhile.

Measures
--------
* stage-a: Stage A to its exec, over ``python -I -c pass``; the interpreter it hands over to is /bin/true.
* livez: the answers' times from the first one to the seal, while 100 programs start.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time

import figures
import rounds
import systems
import tree as trees
import trials
import workers


def report_stage_a(options: rounds.Options) -> None:
    """Measure and print Stage A."""
    with trees.directory() as root:
        system = systems.Bootseal(root, workers.Scene(4))
        system.prepare()
        prefix = root / "prefix/bin"
        prefix.mkdir(parents=True)
        (prefix / "python").symlink_to("/bin/true")
        path = system.tree.plan_directory / "plan.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "prefix": str(prefix.parent)}))
        interpreter = [sys.executable, "-I", "-X", "utf8"]
        table = figures.Table("Stage A before the exec")
        for _ in range(4 * options.repeat):
            bare = _time([*interpreter, "-c", "pass"], system)
            stage_a = _time(system.argv(), system)
            table.add("python -I -c pass", bare)
            table.add("Stage A, then /bin/true", stage_a)
            table.add("difference", stage_a - bare)
    print(table.show(), flush=True)


def _time(argv: list[str], system: systems.System) -> float:
    uid = trees.other_uid()
    identity = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    began = time.monotonic()
    process = subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=system.environment(),
        cwd="/",
        **identity,
    )
    patience = threading.Timer(trials.PATIENCE_SECONDS, process.kill)
    patience.start()
    code = process.wait()  # with a timeout it would look after 1, 3, 7 … 63 and 113 ms alone (subprocess.Popen._wait)
    elapsed_ms = (time.monotonic() - began) * 1000
    patience.cancel()
    if code:
        raise subprocess.CalledProcessError(code, argv)
    return elapsed_ms


def report_livez(options: rounds.Options) -> None:
    """Measure and print the answers to /livez."""
    table = figures.Table("/livez from its first answer to the seal, 100 programs starting", digits=2)
    times: list[float] = []

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        system.launch()
        trials.until(lambda: system.tree.get("/livez")[0] == 200, "/livez 200")
        connection = http.client.HTTPConnection("127.0.0.1", system.tree.port, timeout=trials.PATIENCE_SECONDS)
        end = time.monotonic() + trials.PATIENCE_SECONDS
        while not os.path.exists(system.done):
            if time.monotonic() > end:
                raise trials.Missed("sealed")
            began = time.monotonic()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            times.append((time.monotonic() - began) * 1000)
            into.add(system.name, times[-1])
            time.sleep(0.001)
        connection.close()

    rounds.run(table, [systems.Bootseal], workers.Scene(100, lasting_seconds=1), options.repeat, trial)
    if len(times) > 1:
        points = statistics.quantiles(times, n=1000)
        print(f"  {len(times)} answers, p99.9 {points[998]:.2f} ms\n", flush=True)
