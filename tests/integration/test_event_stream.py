"""/v1/events of a real boot: PID 1's events and Stage A's, over a rotation, a restart of the server and the end."""

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tree as trees


class Listener:
    """A client of /v1/events that reads message by message."""

    def __init__(self, tree: trees.Tree, after: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", tree.port, timeout=trees.PATIENCE_SECONDS)
        self._connection.request("GET", "/v1/events", headers={"Last-Event-ID": after})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self.last_id = after

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield event by event, to the end of the stream; a gap is one, called "gap"."""
        fields: dict[str, str] = {}
        while text := self._answer.readline().decode():
            name, _, value = text.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
                continue
            if "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                event = json.loads(fields["data"])
                assert event["event"] == fields["event"]
                yield event
            fields = {}

    def until(self, name: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the events up to the first called ``name`` with these fields."""
        found = []
        for event in self.events():
            found.append(event)
            if event["event"] == name and wanted.items() <= event.items():
                return found
        raise AssertionError(f"the stream ended without {name}: {[event['event'] for event in found]}")

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def test_a_listener_gets_the_boot_from_its_first_event_and_what_happens_as_it_happens(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    listener = Listener(tree)
    boot = listener.until("ReadinessChanged", ready=True)
    names = [event["event"] for event in boot]
    assert names[0] == "BootstrapStarted"
    milestones = [
        "BootstrapStarted",
        "SupervisorStarted",
        "BootstrapSealStarted",
        "BootstrapCompleted",
        "ReadinessChanged",
    ]
    assert [name for name in names if name in milestones] == milestones
    assert {"stage-a", "supervisord", "probes"} <= {event["source"] for event in boot}
    assert len({event["boot_id"] for event in boot}) == 1

    os.kill(tree.program("api").pid or 0, signal.SIGKILL)

    after = listener.until("ReadinessChanged", ready=True)
    told = [event["event"] for event in after if event["event"] in {"ProgramStarted", "ReadinessChanged"}]
    assert sorted(told) == ["ProgramStarted", "ReadinessChanged", "ReadinessChanged"]  # two processes tell them
    assert next(event for event in after if event["event"] == "ProgramStarted")["program"] == "api"
    listener.close()


def test_over_a_rotation_and_a_restart_of_the_server_who_resumes_misses_and_repeats_nothing(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    listener = Listener(tree)
    found = listener.until("ReadinessChanged", ready=True)
    os.rename(tree.run.events, f"{tree.run.events}.1")
    os.kill(tree.program("api").pid or 0, signal.SIGKILL)
    found += listener.until("ReadinessChanged", ready=True)
    listener.close()

    server = tree.program("probes").pid or 0
    os.kill(server, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("probes").pid not in {server, None}, "another probe server")
    tree.wait_ready()
    again = Listener(tree, listener.last_id)
    os.kill(tree.program("api").pid or 0, signal.SIGKILL)
    found += again.until("ProgramStarted", program="api")
    again.close()

    lines = [line for name in (f"{tree.run.events}.1", tree.run.events) for line in Path(name).read_text().splitlines()]
    assert found == [json.loads(line) for line in lines][: len(found)]
    numbers = [event["seq"] for event in found if event["source"] == "supervisord"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_events_of_an_earlier_boot_in_the_same_run_directory_are_not_told(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    earlier = tree.snapshot().boot_id
    assert tree.stop() == 0
    tree.start().wait_ready()
    found = Listener(tree).until("ReadinessChanged", ready=True)
    assert earlier in Path(tree.run.events).read_text()
    assert {event["boot_id"] for event in found} == {tree.snapshot().boot_id} != {earlier}
    assert found[0]["event"] == "BootstrapStarted"


def test_the_stop_is_told_and_the_stream_ends_whole(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    listener = Listener(tree)
    listener.until("ReadinessChanged", ready=True)
    assert tree.stop() == 0
    names = [event["event"] for event in listener.events()]  # a stream that is cut raises IncompleteRead
    assert "StopRequested" in names
    assert "ReadinessChanged" in names


def test_listeners_that_follow_and_one_that_reads_nothing_cost_no_probe(tree: trees.Tree) -> None:
    tree.build({"programs": {f"p{number}": trees.QUICK for number in range(20)}})
    tree.start().wait_ready()
    listeners = [Listener(tree) for _ in range(30)]  # all but one read nothing
    for name in [f"p{number}" for number in range(20)]:
        pid = tree.program(name).pid or 0
        os.kill(pid, signal.SIGKILL)
        assert tree.get("/livez")[0] == 200
    trees.wait_until(lambda: tree.program("p19").pid not in {pid, None}, "p19 is started again")
    listeners[-1].until("ProgramStarted", program="p19", pid=tree.program("p19").pid)
    for listener in listeners:
        listener.close()
    assert tree.get("/livez")[0] == 200
    tree.wait_ready()
