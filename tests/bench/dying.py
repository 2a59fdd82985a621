"""What follows a death: kill -9 → the program runs again, and death → /ready 503.

Measures
--------
* respawn: from before the kill to the new process's own first word. No pause before a restart is asked for where the system
  lets one say so; s6 and runit keep a second between two starts by design, so the first death after a long life and the next
  are told apart.
* unready: a client asks /ready again a millisecond after each answer, over one connection. Only bootseal has such an answer that
  follows a death; the program takes a second to be ready again, so that the answer cannot be missed.
"""

import http.client
import os
import signal
import time

import figures
import launching
import rounds
import systems
import trials
import workers


def report_respawn(options: rounds.Options) -> None:
    """Measure and print kill -9 → respawned."""
    scene = workers.Scene(4)
    table = figures.Table("kill -9 -> the new process's first word, after 1.2 s of life", (systems.PLAIN,), digits=2)
    again = "again at once"

    def trial(system: systems.System, into: figures.Table) -> None:
        launching.settle(system)
        for name in scene.names[:2]:
            into.add(system.name, _respawn(system, name))
        into.add(f"{system.name}, {again}", _respawn(system, scene.names[0]))

    rounds.run(table, rounds.everyone(), scene, options.repeat, trial, with_seal=False)


def _respawn(system: systems.System, name: str) -> float:
    """Kill program ``name`` and return how long its successor took to say its first word, in ms."""
    note = workers.last_note(system.notes, name, "started")
    assert note is not None
    began = time.monotonic()
    os.kill(note.pid, signal.SIGKILL)

    def successor() -> workers.Note | None:
        found = workers.last_note(system.notes, name, "started")
        return found if found is not None and found.pid != note.pid else None

    trials.until(successor, f"{name} runs again")
    found = successor()
    assert found is not None
    return (found.moment - began) * 1000


def report_unready(options: rounds.Options) -> None:
    """Measure and print death → /ready 503."""
    scene = workers.Scene(4, lasting_seconds=1)
    table = figures.Table("kill -9 -> /ready 503, asked every 1 ms over one connection", digits=2)
    answers = figures.Table("one such question and its answer, before the kill", digits=2)

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        launching.settle(system)
        connection = http.client.HTTPConnection("127.0.0.1", system.tree.port, timeout=trials.PATIENCE_SECONDS)
        try:
            for name in scene.names:
                trials.until(lambda: _ask(connection)[0] == 200, "/ready 200")
                for _ in range(20):
                    time.sleep(0.001)
                    answers.add(system.name, _ask(connection)[1])
                into.add(system.name, _unready(system, name, connection))
        finally:
            connection.close()

    rounds.run(table, [systems.Bootseal], scene, options.repeat, trial)
    print(answers.show(), flush=True)


def _unready(system: systems.System, name: str, connection: http.client.HTTPConnection) -> float:
    note = workers.last_note(system.notes, name, "started")
    assert note is not None
    began = time.monotonic()
    os.kill(note.pid, signal.SIGKILL)
    seen = trials.until(lambda: _ask(connection)[0] == 503, "/ready 503", 0.001)
    return (seen - began) * 1000


def _ask(connection: http.client.HTTPConnection) -> tuple[int, float]:
    """Return the status of /ready and how long the answer took, in ms."""
    began = time.monotonic()
    connection.request("GET", "/ready")
    response = connection.getresponse()
    response.read()
    return response.status, (time.monotonic() - began) * 1000
