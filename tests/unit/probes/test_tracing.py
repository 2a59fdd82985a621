"""The boot as a trace: its ids are those of the events, its spans nest, and nothing waits for the collector."""

import asyncio
import dataclasses
import json
import subprocess
import sys
import threading

import pytest

from contract import boot_record, snapshot, trace
from manifest import serving
from probes.tracing import sending, spans
from tests import collector as collectors
from tests.unit import boots

AT = "2026-01-02T03:04:05.000Z"
SEALED_AT = "2026-01-02T03:04:09.000Z"
SEAL = snapshot.SealView("a" * 64, SEALED_AT, late=False)


@pytest.fixture
def collector():
    with collectors.collecting() as one:
        yield one


def boot(**changes):
    phases = (boot_record.PhaseTiming("plan", 0.01, 40.0), boot_record.PhaseTiming("identity", 0.05, 100.0))
    return boots.boot(**{"started_at": AT, "phases": phases, "warnings": ()} | changes)


def view(name, spawned=0.5, running=1.5, ready=1.6, **changes):
    return boots.view(name, first=snapshot.Timeline(spawned, running, ready), **changes)


def sealed(*views, **changes):
    return boots.ledger(*views, phase=snapshot.SEALED, boot_sealed_at=SEALED_AT, seal=SEAL, **changes)


def by_name(made):
    assert len({span.name for span in made}) == len({span.id for span in made}) == len(made)
    return {span.name: span for span in made}


# --- what is told --------------------------------------------------------------------------------------------------


def test_a_span_for_the_boot_each_phase_and_each_program():
    found = by_name(spans.of(boot(), sealed(view("api"), view("web", 1.7, 1.8, 3.0)), 4.5))

    assert list(found) == ["boot", "phase plan", "phase identity", "program api", "program web"]
    root = found.pop("boot")
    assert (root.id, root.parent, root.begin_seconds, root.end_seconds) == (
        trace.span_id(boots.BOOT_ID), None, 0.0, 4.0,
    )  # fmt: skip
    assert {span.parent for span in found.values()} == {root.id}
    assert found["phase identity"].end_seconds == pytest.approx(0.15)
    web = found["program web"]
    assert web.id == trace.span_id(boots.BOOT_ID, trace.PROGRAM, "web")
    assert (web.begin_seconds, web.end_seconds, web.ok) == (1.7, 3.0, True)
    assert web.events == (spans.Event("spawned", 1.7), spans.Event("RUNNING", 1.8), spans.Event("ready", 3.0))


def test_the_ids_are_those_of_the_events():
    for span in spans.of(boot(), sealed(view("api")), 4.5):
        kind, _, name = span.name.partition(" ")
        wanted = trace.parent(boots.BOOT_ID, *((kind, name) if name else ()))
        assert wanted == f"00-{boots.BOOT_ID}-{span.id}-01"


def test_a_program_that_was_never_started_has_no_span_and_a_failed_one_has():
    waiting = view("late", None, None, None, state=snapshot.PENDING)
    since = "2026-01-02T03:04:06.500Z"
    withheld = view("bad", None, None, None, state=snapshot.FAILED, since=since, supervisor_state="STOPPED")
    found = by_name(spans.of(boot(), sealed(view("api"), waiting, withheld), 4.5))

    assert "program late" not in found
    assert (found["program bad"].begin_seconds, found["program bad"].end_seconds) == (1.5, 1.5)
    assert found["program bad"].error == "failed: STOPPED"


def test_a_failed_program_ends_with_an_error_at_its_failure():
    since = "2026-01-02T03:04:07.000Z"
    failed = view(
        "api", 0.5, 1.0, None, state=snapshot.FAILED, since=since, last_exit=snapshot.Exit(3, None), reason="s3cret",
        last_output=("s3cret",), status="s3cret", ready_by="s3cret",
    )  # fmt: skip
    ledger = boots.ledger(failed, phase=snapshot.HELD, failure="program api: s3cret", deadline_monotonic=None)
    found = by_name(spans.of(boot(), ledger, 2.25))

    assert found["program api"].error == "failed: exited with code 3"
    assert (found["program api"].end_seconds, found["program api"].ok) == (2.0, False)
    assert found["boot"].error == "the boot failed: api failed: exited with code 3"
    assert (found["boot"].end_seconds, found["boot"].ok) == (2.25, False)
    assert "s3cret" not in repr(found)


def test_a_boot_that_was_stopped_says_so():
    found = by_name(spans.of(boot(), boots.ledger(view("api"), phase=snapshot.STOPPING), 2.0))

    assert found["boot"].error == "it was not sealed before it was stopping"


def test_five_hundred_failed_programs_make_a_short_error():
    views = [view(f"p{n}", 0.1, None, None, state=snapshot.FAILED) for n in range(500)]
    made = spans.of(boot(), boots.ledger(*views, phase=snapshot.HELD, failure="x"), 9.0)

    assert made[0].error.endswith("and 480 more")
    assert len(made) == 503


def test_a_wall_clock_that_jumped_does_not_bend_the_boot():
    for wall in ("2025-01-01T00:00:00.000Z", "2031-01-01T00:00:00.000Z"):
        seal = dataclasses.replace(SEAL, at=wall)
        ledger = boots.ledger(view("api"), phase=snapshot.SEALED, boot_sealed_at=wall, seal=seal)
        [root, *others] = spans.of(boot(), ledger, 4.5)
        assert 1.6 <= root.end_seconds <= 4.5
        assert all(root.begin_seconds <= one.begin_seconds <= one.end_seconds <= root.end_seconds for one in others)


def test_what_came_after_the_seal_is_not_told():
    optional = view("extra", 0.5, 1.0, 4.25, required=False)
    unborn = view("later", 4.2, 4.3, 4.4, required=False)
    found = by_name(spans.of(boot(), sealed(view("api"), optional, unborn), 4.5))

    extra = found["program extra"]
    assert (extra.end_seconds, extra.ok, extra.error) == (4.0, False, "")
    assert [event.name for event in extra.events] == ["spawned", "RUNNING"]
    assert "program later" not in found


def test_the_seal_that_stands_was_written_even_where_its_programs_end_is_not_told_yet():
    found = by_name(spans.of(boot(), sealed(view("api"), view("bootstrap-seal", ready=None, role="seal")), 4.5))

    assert (found["program bootstrap-seal"].ok, found["program bootstrap-seal"].end_seconds) == (True, 4.0)
    assert found["program bootstrap-seal"].events[-1] == spans.Event("ready", 4.0)


def test_a_later_generation_has_spans_of_its_own():
    first = spans.of(boot(), sealed(view("api")), 4.5)
    again = spans.of(boot(), sealed(view("api", 10.0, 10.1, 10.2), generation=2), 14.5)

    assert not {span.id for span in first} & {span.id for span in again}
    assert [span.name for span in again] == ["generation 2", "program api"]
    assert (again[0].parent, again[1].parent) == (first[0].id, again[0].id)
    assert again[0].begin_seconds == 10.0


# --- when, and what then -------------------------------------------------------------------------------------------


class Sender:
    """Sending over a boot on disk, its events kept."""

    def __init__(self, path, endpoint):
        self.container = boots.container(f"{path}/run", started_at=AT)
        observability = serving.ObservabilityPlan("info", endpoint)
        self.plan = boots.make_plan(observability=observability)
        self.told = []
        from manifest import plan

        loaded = plan.LoadedPlan(self.plan, path, boots.SHA256)
        self.sending = sending.Sending(self.container.record, loaded, self.container.run, self.tell)

    def tell(self, event, **fields):
        self.told.append((event, fields))

    def run(self, *ledgers):
        async def go():
            for ledger in ledgers:
                self.sending.take(ledger)
                if self.sending._task:
                    await self.sending._task

        asyncio.run(go())
        return self.told


BOOTING = boots.ledger(view("api"))


def test_a_sealed_boot_is_sent_once(tmp_path, collector):
    sender = Sender(str(tmp_path), collector.endpoint)

    assert sender.run(BOOTING, sealed(view("api")), sealed(view("api")), sealed(view("api"), revision=9)) == []

    [(path, _)] = collector.requests
    assert path == "/v1/traces"
    root = collector.span("boot")
    assert (root.trace_id, root.span_id, root.parent) == (boots.BOOT_ID, trace.span_id(boots.BOOT_ID), "")
    assert root.status == collectors.OK
    assert (root.begin, root.end - root.begin) == (1767323045_000_000_000, 4_000_000_000)
    assert collector.span("program api").parent == root.span_id
    assert collector.span("program api").events[-1] == ("ready", root.begin + 1_600_000_000)
    assert root.resource | {"bootseal.version": ""} == {
        "service.name": "box", "service.instance.id": "box", "bootseal.version": "", "bootseal.boot_id": boots.BOOT_ID,
        "bootseal.plan_sha256": boots.SHA256, "bootseal.manifest_sha256": boots.SHA256,
        "bootseal.config_sha256": boots.SHA256,
    }  # fmt: skip


def test_a_failed_boot_is_sent_with_its_error(tmp_path, collector):
    failed = view("api", 0.5, None, None, state=snapshot.FAILED, last_exit=snapshot.Exit(None, 9))
    sender = Sender(str(tmp_path), collector.endpoint)

    assert sender.run(BOOTING, boots.ledger(failed, phase=snapshot.HELD, failure="x")) == []

    assert collector.span("boot").status == collectors.ERROR
    assert collector.span("program api").message == "failed: was killed by signal 9"


def test_each_generation_is_sent_and_a_server_that_came_late_sends_nothing(tmp_path, collector):
    sender = Sender(str(tmp_path), collector.endpoint)
    sender.run(sealed(view("api")))
    assert collector.requests == []

    sender.run(boots.ledger(view("api"), generation=2), sealed(view("api"), generation=2))
    assert [span.name for span in collector.spans] == ["generation 2", "program api"]


def test_a_collector_that_is_busy_is_asked_again(tmp_path, collector):
    collector.statuses = [503]
    sender = Sender(str(tmp_path), collector.endpoint)

    assert sender.run(BOOTING, sealed(view("api"))) == []
    assert len(collector.requests) == 2


def test_a_collector_that_refuses_is_an_event_with_the_cause(tmp_path, collector):
    collector.statuses = [400]
    [(event, fields)] = Sender(str(tmp_path), collector.endpoint).run(BOOTING, sealed(view("api")))

    assert event == "TraceExportFailed"
    assert fields["endpoint"] == collector.endpoint
    assert "400" in fields["cause"]
    assert len(collector.requests) == 1


def test_a_collector_that_is_down_is_an_event_with_the_cause(tmp_path, make, monkeypatch):
    from probes.tracing import otlp

    monkeypatch.setattr(otlp, "TIMEOUT_SECONDS", 3)
    endpoint = f"http://127.0.0.1:{make.free_port()}"
    [(event, fields)] = Sender(str(tmp_path), endpoint).run(BOOTING, sealed(view("api")))

    assert event == "TraceExportFailed"
    assert "refused" in fields["cause"]
    assert len(fields["cause"]) <= 500


def test_a_collector_that_hangs_is_an_event(tmp_path, collector, monkeypatch):
    from probes.tracing import otlp

    monkeypatch.setattr(otlp, "TIMEOUT_SECONDS", 0.3)
    collector.hangs = True
    [(event, fields)] = Sender(str(tmp_path), collector.endpoint).run(BOOTING, sealed(view("api")))

    assert event == "TraceExportFailed"
    assert "timed out" in fields["cause"].lower() or "timeout" in fields["cause"].lower()


def test_even_an_exporter_that_never_comes_back_is_an_event(tmp_path, collector, monkeypatch):
    from probes.tracing import otlp

    monkeypatch.setattr(sending, "LONGEST_SECONDS", 0.3)
    monkeypatch.setattr(otlp, "TIMEOUT_SECONDS", 3)
    collector.hangs = True
    [(event, fields)] = Sender(str(tmp_path), collector.endpoint).run(BOOTING, sealed(view("api")))

    assert (event, fields["cause"]) == ("TraceExportFailed", "it was not taken within 0.3 s")
    for thread in threading.enumerate():
        if thread.name == "trace":  # it goes on by itself, and draws random numbers: other tests must not meet it
            thread.join()


def test_without_the_extra_the_event_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "probes.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    [(event, fields)] = Sender(str(tmp_path), "http://127.0.0.1:1").run(BOOTING, sealed(view("api")))

    assert event == "TraceExportFailed"
    assert "pip install bootseal[otlp]" in fields["cause"]


def test_without_an_endpoint_nothing_is_sent_and_nothing_is_loaded(tmp_path):
    assert Sender(str(tmp_path), None).run(BOOTING, sealed(view("api"))) == []
    code = (
        "import sys, probes.server, json; print(json.dumps([n for n in sys.modules if n.startswith('opentelemetry')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []


def test_five_hundred_programs_are_sent(tmp_path, collector):
    views = [view(f"p{number}") for number in range(600)]

    assert Sender(str(tmp_path), collector.endpoint).run(BOOTING, sealed(*views)) == []
    assert len(collector.spans) == 602
    assert len({span.span_id for span in collector.spans}) == 602
