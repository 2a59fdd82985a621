"""The trace of a real boot, as a collector gets it; and that a boot does not care whether there is one."""

import datetime as dt
from collections.abc import Iterator

import pytest
import tree as trees

from contract import boot_record
from tests import collector as collectors


@pytest.fixture
def collector() -> Iterator[collectors.Collector]:
    with collectors.collecting() as one:
        yield one


def build(tree: trees.Tree, endpoint: str, **more: object) -> None:
    programs = {
        "migrate": {"command": ["true"], "oneshot": True},
        "api": {**trees.QUICK, "after": ["migrate"]},
        "web": {"command": ["sleep", "1000"], "after": ["api"]},
    }
    tree.build({"programs": programs, "observability": {"otlp_endpoint": endpoint}, **more})


def test_a_boot_is_one_trace_and_every_event_names_a_span_of_it(
    tree: trees.Tree, collector: collectors.Collector
) -> None:
    build(tree, collector.endpoint)
    tree.start().wait_ready()
    trees.wait_until(lambda: collector.spans, "the trace", tree.stderr)
    boot = boot_record.read(tree.run)
    spans = {span.name: span for span in collector.spans}
    root = spans["boot"]

    assert {span.trace_id for span in spans.values()} == {boot.boot_id}
    phases = [f"phase {phase.name}" for phase in boot.phases]
    own = ["program probes", "program bootstrap", "program bootstrap-seal"]
    assert sorted(spans) == sorted(["boot", *phases, *own, "program migrate", "program api", "program web"])
    ids = {f"00-{span.trace_id}-{span.span_id}-01" for span in spans.values()}
    assert {event["traceparent"] for event in tree.events()} <= ids
    [ready] = [event for event in tree.events("ProgramReady") if event["program"] == "api"]
    assert ready["traceparent"].split("-")[2] == spans["program api"].span_id

    others = [span for span in spans.values() if span is not root]
    assert root.parent == ""
    assert {span.parent for span in others} == {root.span_id}
    assert all(root.begin <= span.begin <= span.end <= root.end for span in others)
    assert {span.status for span in spans.values()} == {collectors.OK}
    assert root.begin == round(dt.datetime.fromisoformat(boot.started_at).timestamp() * 1000) * 1_000_000
    assert spans["program migrate"].end <= spans["program api"].begin <= spans["program web"].begin
    assert [name for name, _ in spans["program web"].events] == ["spawned", "RUNNING", "ready"]
    for phase in boot.phases:
        took = spans[f"phase {phase.name}"]
        assert took.end - took.begin == pytest.approx(phase.duration_ms * 1e6, abs=1e3)
    assert root.resource["service.name"] == "tree"
    assert root.resource["bootseal.plan_sha256"] == boot.plan_sha256
    assert root.resource["service.instance.id"] == tree.get("/whoami")[1]["id"]
    assert tree.events("TraceExportFailed") == []
    assert tree.stop() == 0
    assert len(collector.requests) == 1


def test_no_secret_and_no_command_line_leaves_in_a_span(tree: trees.Tree, collector: collectors.Collector) -> None:
    secret = "s3cret-0123456789abcdef"
    programs = {
        "api": {
            "command": ["sh", "-c", f"echo {secret} >&2; exit 3"], "ready": {"running": True, "for": "1s"},
            "environment": {"PASSWORD": secret},
        },
    }  # fmt: skip
    tree.build(
        {
            "programs": programs, "observability": {"otlp_endpoint": collector.endpoint},
            "boot": {"seal_timeout": "60s", "on_failure": "hold"},
        }
    )  # fmt: skip
    tree.start()
    trees.wait_until(lambda: collector.spans, "the trace", tree.stderr)

    assert collector.span("boot").status == collectors.ERROR
    assert "exited with code 3" in collector.span("program api").message
    for _, body in collector.requests:
        assert secret.encode() not in body
        assert b"exit 3" not in body
    assert secret in tree.stdout() + tree.stderr()


def test_a_collector_that_hangs_delays_neither_readiness_nor_the_end(
    tree: trees.Tree, collector: collectors.Collector
) -> None:
    collector.hangs = True
    build(tree, collector.endpoint)
    tree.start().wait_ready()
    trees.wait_until(lambda: collector.requests, "the trace is on its way", tree.stderr)

    assert tree.get("/ready")[0] == 200
    assert tree.stop() == 0
    assert not collector.released.is_set()
    assert tree.events("ProgramKilled") == []


def test_without_a_collector_there_is_an_event_and_the_boot_is_ready(tree: trees.Tree) -> None:
    endpoint = f"http://127.0.0.1:{trees.free_port()}"
    build(tree, endpoint)
    tree.start().wait_ready()
    failed = tree.wait_for_event("TraceExportFailed", endpoint=endpoint, source="probes")

    assert "refused" in failed["cause"]
    assert tree.get("/ready")[0] == 200
    assert tree.stop() == 0
