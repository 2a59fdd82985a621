import dataclasses
import json

import pytest

from contract import clock, events, exit_codes, rundir, snapshot, termination
from manifest import plan
from supervisord import entries, ledger, outcome, readiness_book, sealing
from tests.unit import boots

KILLED = snapshot.Exit(None, 9)


class Box:
    """An outcome over a real book and a real sealing; what it says, writes and ends is kept."""

    def __init__(self, path: str, *programs: plan.ProgramPlan, on_failure: str = "exit") -> None:
        self.ends: list[int] = []
        self.lines: list[dict] = []
        self.written: list[str] = []
        the_plan = boots.make_plan(*programs, boot=boots.boot_plan(on_failure=on_failure))
        self.run = rundir.RunDirectory(path)
        self.sealing = sealing.Sealing(self.run, the_plan, boots.boot(), 100.0)
        self.book = readiness_book.Book(the_plan.programs, entries.Moment(100.0, "wall"))
        emitter = events.Emitter("test", "b", None, lambda line: bool(self.lines.append(json.loads(line))) or True)
        self.outcome = outcome.Outcome(the_plan, self.book, self.sealing, emitter, self.ends.append)

    @property
    def phase(self) -> str:
        return self.view.phase

    @property
    def view(self) -> snapshot.Snapshot:
        return self.sealing.snapshot(1, ())

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def seal(self, **changes) -> "Box":
        with open(self.run.seal, "w", encoding="ascii") as file:
            json.dump({"boot_id": boots.BOOT_ID, "generation": 1, "late": False, **changes}, file)
        self.outcome.on_seal_exit(snapshot.Exit(0, None))
        assert self.sealing.is_sealed
        return self

    def end(self, name: str, ended: snapshot.Exit | None, state: str = entries.EXITED) -> entries.Entry:
        """Let ``name`` run and end, and return its entry."""
        now = entries.Moment(101.0, "wall")
        self.book.on_supervisor_state(name, entries.STARTING, now, None, "")
        self.book.on_spawn(name, 42, 7, now)
        self.book.on_supervisor_state(name, state, entries.Moment(103.0, "wall"), ended, "")
        return self.book.entries[name]


@pytest.fixture
def make(tmp_path, monkeypatch):
    def made(*programs, **changes) -> Box:
        box = Box(str(tmp_path), *programs, **changes)
        monkeypatch.setattr(termination, "write", lambda cause: bool(box.written.append(cause)) or True)
        monkeypatch.setattr(clock, "monotonic", lambda: 110.0)
        return box

    return made


ENDING = boots.program("api", on_exit=plan.END)


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (snapshot.Exit(3, None), 3, "program api exited with code 3, and its on_exit is exit"),
        (snapshot.Exit(0, None), 0, "program api exited with code 0, and its on_exit is exit"),
        (KILLED, 137, "program api was killed by signal 9, and its on_exit is exit"),
        (None, 6, "program api exited, and its on_exit is exit"),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_program_whose_on_exit_is_exit_ends_the_container_with_its_own_code_whenever_it_ends(
    make, ended, code, said, sealed
):
    box = make(ENDING)
    if sealed:
        box.seal()
    box.outcome.on_program_exit(box.end("api", ended))
    assert (box.ends, box.phase, box.view.failure, box.view.seal) == ([code], snapshot.STOPPING, said, None)
    assert box.written == [said]
    [line] = [line for line in box.lines if line["event"] == "ContainerEnding"]
    assert (line["program"], line["cause"], line["exit_code"]) == ("api", said, code)


@pytest.mark.parametrize(("ended", "code"), [(snapshot.Exit(0, None), 0), (snapshot.Exit(4, None), 4)])
def test_a_one_shot_whose_on_exit_is_exit_ends_the_container_when_its_work_is_done(make, ended, code):
    box = make(boots.program("job", oneshot=True, on_exit=plan.END))
    box.outcome.on_program_exit(box.end("job", ended))
    assert box.ends == [code]


@pytest.mark.parametrize("on_exit", [plan.RESTART, plan.DEGRADE])
def test_the_end_of_another_program_ends_nothing(make, on_exit):
    box = make(boots.program("api", on_exit=on_exit)).seal()
    box.outcome.on_program_exit(box.end("api", KILLED))
    assert (box.ends, box.phase, box.written) == ([], snapshot.SEALED, [])


def test_the_first_end_decides_and_nothing_later_changes_it(make):
    box = make(ENDING, boots.program("web", on_exit=plan.END, on_fatal=plan.END)).seal()
    box.outcome.on_program_exit(box.end("api", snapshot.Exit(3, None)))
    web = box.end("web", snapshot.Exit(9, None))
    box.outcome.on_program_exit(web)
    box.outcome.on_program_fatal(dataclasses.replace(web, supervisor_state=entries.FATAL))
    box.outcome.fail("seal", "later")
    box.outcome.check_deadline(1e9)
    assert box.ends == [3]
    assert len(box.written) == 1
    assert box.events.count("ContainerEnding") == 1


def test_a_held_boot_is_ended_by_no_program(make):
    box = make(ENDING, boots.program("web", required=False, on_fatal=plan.END), on_failure="hold")
    box.outcome.fail("seal", "cause")
    box.outcome.on_program_exit(box.end("api", snapshot.Exit(3, None)))
    box.outcome.on_program_fatal(box.end("web", None, entries.FATAL))
    assert (box.ends, box.phase, box.view.failure) == ([], snapshot.HELD, "cause")
    assert box.events == ["BootstrapFailed"]


def test_a_held_boot_that_sealed_late_is_an_ordinary_one_again(make):
    box = make(ENDING, on_failure="hold")
    box.outcome.fail("seal", "cause")
    box.seal(late=True)
    box.outcome.on_program_exit(box.end("api", snapshot.Exit(3, None)))
    assert box.ends == [3]


def test_a_program_that_was_given_up_ends_a_sealed_container_with_6(make):
    box = make(boots.program("api", on_fatal=plan.END)).seal()
    box.outcome.on_program_fatal(box.end("api", KILLED, entries.FATAL))
    assert box.ends == [exit_codes.INFRASTRUCTURE_FAILURE]
    assert "and its on_fatal is exit" in box.written[0]


def test_before_the_seal_it_is_a_failed_boot_which_for_a_required_program_the_seal_program_says(make):
    box = make(boots.program("api", on_fatal=plan.END), boots.program("extra", required=False, on_fatal=plan.END))
    box.outcome.on_program_fatal(box.end("api", KILLED, entries.FATAL))
    assert (box.ends, box.phase) == ([], snapshot.BOOTING)
    box.outcome.on_program_fatal(box.end("extra", KILLED, entries.FATAL))
    assert box.ends == [exit_codes.INFRASTRUCTURE_FAILURE]
    assert [line["phase"] for line in box.lines if line["event"] == "BootstrapFailed"] == ["supervise"]


@pytest.mark.parametrize("on_fatal", [plan.DEGRADE, plan.RESTART])
def test_another_program_that_was_given_up_ends_nothing(make, on_fatal):
    box = make(boots.program("api", on_fatal=on_fatal)).seal()
    box.outcome.on_program_fatal(box.end("api", KILLED, entries.FATAL))
    assert box.ends == []


def test_the_last_words_of_the_program_are_in_the_event_and_in_the_termination_log(make):
    box = make(ENDING).seal()
    box.book.last_lines = lambda name: (f"{name}: cannot bind", "giving up")
    box.outcome.on_program_exit(box.end("api", snapshot.Exit(3, None)))
    assert box.lines[-1]["last_output"] == ["api: cannot bind", "giving up"]
    assert box.written[0].endswith("its last output: api: cannot bind | giving up")


@pytest.mark.parametrize(("on_failure", "ends"), [("exit", [6]), ("hold", [])])
def test_a_failure_is_said_once_and_ends_or_holds_the_container(make, on_failure, ends):
    box = make(on_failure=on_failure)
    revision = box.book.revision
    box.outcome.fail("seal", "cause")
    box.outcome.fail("seal", "again")
    assert (box.ends, box.written, box.events) == (ends, ["cause"], ["BootstrapFailed"])
    assert box.book.revision > revision


def test_the_deadline_names_who_is_missing(make):
    box = make(boots.program("api"), boots.program("extra", required=False))
    box.book.advance(entries.Moment(100.0, "wall"))
    box.outcome.check_deadline(129.9)
    assert box.lines == []
    box.outcome.check_deadline(130.0)
    box.outcome.check_deadline(131.0)
    assert box.events == ["BootstrapSealTimeout", "BootstrapFailed"]
    assert set(box.lines[0]["missing"]) == {plan.PROBES, plan.STAGE_B, "api"}
    assert "not ready within 30 s" in box.written[0]
    assert "api waits for probes, bootstrap" in box.written[0]
    assert box.ends == [6]


def test_a_deadline_with_nobody_missing_says_what_keeps_the_seal_program(make):
    box = make()
    box.book.missing = dict
    box.book.last_lines = lambda _name: ("cannot write",)
    box.outcome.check_deadline(130.0)
    assert "the seal was not written: bootstrap-seal" in box.written[0]
    assert "cannot write" in box.written[0]


def test_the_seal_programs_end_seals_fails_or_is_tried_again(make):
    assert make().seal().phase == snapshot.SEALED
    gave_up = make()
    gave_up.outcome.on_seal_exit(snapshot.Exit(exit_codes.INFRASTRUCTURE_FAILURE, None))
    assert gave_up.ends == [6]
    for ended in (KILLED, snapshot.Exit(1, None), None):
        crashed = make()
        crashed.outcome.on_seal_exit(ended)
        assert (crashed.phase, crashed.ends) == (snapshot.BOOTING, [])
        assert crashed.sealing.restart_at > 110.0


def test_a_seal_that_does_not_belong_here_fails_the_boot_with_the_cause(make):
    box = make()
    box.outcome.on_seal_exit(snapshot.Exit(0, None))
    assert box.ends == [6]
    assert "its record is not acceptable" in box.written[0]


def test_a_seal_that_comes_while_the_container_ends_changes_nothing(make):
    box = make(ENDING)
    box.outcome.on_program_exit(box.end("api", snapshot.Exit(3, None)))
    with open(box.run.seal, "w", encoding="ascii") as file:
        json.dump({"boot_id": boots.BOOT_ID, "generation": 1}, file)
    box.outcome.on_seal_exit(snapshot.Exit(0, None))
    assert (box.ends, box.phase, box.outcome.boot_sealed_at) == ([3], snapshot.STOPPING, None)


def test_a_program_that_somebody_stopped_is_not_asked_about():
    """Its state is STOPPED, and only ends that nobody asked for come here: the ledger has no exit to count."""
    entry = ledger.first_entry(ENDING, entries.Moment(0, "w"))
    entry = ledger.on_supervisor_state(entry, entries.STOPPED, entries.Moment(1, "w"), ended=KILLED)
    assert entry.exits == 0
