"""What ``bootseal up`` shows of artifacts that cannot be used, and of the programs that lack them."""

import dataclasses
from types import SimpleNamespace

import pytest

from entrypoint import display, progress
from manifest import serving
from tests.unit import boots

FAULTS = [f"/app/{number} (changed): other bytes" for number in range(20)] + ["and 3 more"]
MISSING = {
    "event": "MissingArtifactDetected", "level": "error", "capability": "api", "path": "/app",
    "reason": "23 faults", "faults": FAULTS,
}  # fmt: skip
WITHHELD = {"event": "ProgramWithheld", "level": "warn", "program": "worker", "artifact": "tree", "reason": "/t: gone"}


class Places:
    title, output = "title", ""

    def lines(self) -> list[str]:
        return []

    def last_output(self) -> list[str]:
        return []


def shown(screen: display.Display, *events: dict) -> None:
    now = progress.begin(("worker",))
    with screen:
        for event in events:
            before, now = now, progress.after(now, event, 1.0)
            screen.show(event, before, now, 1.0)
        screen.end(1, now)


def test_every_fault_of_an_artifact_is_a_line_that_names_the_artifact_first():
    assert display.warnings(MISSING) == [f"error: artifact api: {fault}" for fault in FAULTS]
    optional = {**MISSING, "event": "OptionalArtifactMissing", "level": "warn", "faults": ["/app: gone\x1b"]}
    assert display.warnings(optional) == ["warning: artifact api: /app: gone\\x1b"]
    assert display.warnings({**MISSING, "faults": []}) == ["error: artifact api: 23 faults"]


def test_the_lines_hold_every_fault_and_a_program_that_is_held_back_once(capsys: pytest.CaptureFixture[str]):
    shown(display.Lines(Places()), MISSING, WITHHELD)
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "artifact api" in line] == [
        f"   1.000s error: artifact api: {fault}" for fault in FAULTS
    ]
    assert out.count("worker") == 1
    assert "warning: worker is held back: artifact tree: /t: gone" in out


def test_the_table_keeps_every_fault_however_many_warnings_follow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "60")
    warning = {"event": "OutputDropped", "level": "warn", "program": "worker", "reason": "much"}
    shown(display.Live(Places()), MISSING, WITHHELD, *[warning] * 9)
    last = capsys.readouterr().out.rpartition("title")[2]
    assert [fault for fault in FAULTS if f"artifact api: {fault}" in last] == FAULTS
    assert "withheld" in last
    assert "artifact tree: /t: gone" in last
    assert last.count("OutputDropped") == 5


@pytest.mark.parametrize(
    ("reach", "address", "page"),
    [
        (serving.LOOPBACK, (None, None), "http://127.0.0.1:8080"),
        (serving.OPEN, (None, None), "http://127.0.0.1:8080"),
        (serving.OWN, ("::", 9000), "http://[::1]:9000"),
        (serving.SOCKET, (None, None), ""),
    ],
)
def test_the_page_and_health_are_named_only_where_somebody_is_answered_them(reach, address, page):
    known = boots.make_plan(boots.program("api"))
    probes = dataclasses.replace(
        known.probes, host="127.0.0.1", port=8080, detail=serving.DetailPlan(reach, *address, None)
    )
    known = dataclasses.replace(known, probes=probes, run_directory="/a b/run")
    loaded = SimpleNamespace(plan=known, config_path="/a b/plan/supervisord.conf")
    lines = display._Places("m.yaml", loaded, "/a b").lines()
    told = dict(line.split(None, 1) for line in lines)
    assert told["probes"] == f"http://127.0.0.1:8080/ready{f'  {page}/health' if page else ''}"
    assert told.get("page") == (f"{page}/" if page else None)
    assert told["status"].endswith("bin/bootseal status --run-dir '/a b/run'")
