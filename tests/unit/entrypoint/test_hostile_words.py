"""Whatever an answer holds, what is printed of it does not act on a terminal, and who could not be asked is told."""

import dataclasses

import pytest

from contract import snapshot
from entrypoint import cli, situation, status_text, why_text
from tests.unit import boots

HOSTILE = "\x1b[2J\ud800\nx"
VIEW = dataclasses.replace(
    boots.view("api"), state=HOSTILE, reason=HOSTILE, since=HOSTILE, supervisor_state=HOSTILE, status=HOSTILE, ready_at=HOSTILE,
    ready_by=HOSTILE, restarts=2, restart_reasons={HOSTILE: 2}, last_output=(HOSTILE,), last_exit=snapshot.Exit(1, None),
)  # fmt: skip
FOUND = situation.Situation(
    situation.LEDGER, HOSTILE, None, HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE,
    missing=(situation.Missing(HOSTILE, HOSTILE, HOSTILE, HOSTILE, True),),
    requirements=(situation.Requirement(HOSTILE, HOSTILE, False, HOSTILE, HOSTILE, True),), programs=(VIEW,),
    warnings=(HOSTILE,), endpoints={HOSTILE: {HOSTILE: HOSTILE}}, log_level=HOSTILE, troubles=(HOSTILE,),
)  # fmt: skip


@pytest.mark.parametrize("told_by", [situation.LEDGER, situation.PROBES, situation.RECORD])
@pytest.mark.parametrize("ready", [None, False, True])
@pytest.mark.parametrize("absolute", [True, False])
def test_nothing_of_an_answer_acts_on_a_terminal(told_by, ready, absolute):
    found = dataclasses.replace(FOUND, told_by=told_by, ready=ready)
    for every in (True, False):
        look = status_text.Look(0.0, absolute=absolute, every=every)
        for line in (
            *status_text.lines(found, look), *why_text.lines(found, look), *why_text.of_program(found, VIEW, look)
        ):  # fmt: skip
            assert line == "" or line.isprintable(), line


def test_an_error_is_printed_on_one_line_that_does_not_act_on_a_terminal(capsys):
    assert cli._fail(HOSTILE, " why") == 1
    assert capsys.readouterr().err == "bootseal why: \\x1b[2J\\ud800\\nx\n"


def test_why_says_who_could_not_be_asked():
    found = situation.hidden("/run/x", "Permission denied", "be root", ("a is closed", "b is closed"), is_alive=True)
    told = why_text.lines(found, status_text.Look(0.0))
    assert told == [f"readiness unknown: {found.reason}", "  a is closed", "  b is closed"]
