"""Where the time of a boot went, by hand-made ledgers."""

import dataclasses
import json

import pytest

from contract import errors, snapshot
from entrypoint import analysis, analysis_text, critical_chain
from manifest import plan
from tests.unit import boots
from tests.unit.entrypoint import analysed_boots as made


def chain(found: analysis.Analysis) -> list[str]:
    return [link.name for link in found.chain]


def link(found: analysis.Analysis, name: str) -> critical_chain.Link:
    return next(one for one in found.chain if one.name == name)


# --- the critical chain -----------------------------------------------------------------------------------------------


def test_the_chain_goes_from_the_seal_to_who_was_ready_last_and_what_that_waited_for_back_to_stage_a():
    found = made.analysed(*made.own(), *made.VIEWS)
    assert chain(found) == ["seal", "web", "api", "migrate", "bootstrap", "supervisord", "Stage A"]
    assert [one.at for one in found.chain] == pytest.approx([3.0, 2.9, 2.0, 1.5, 0.6, 0.3, 0.1])
    assert [one.seconds for one in found.chain] == pytest.approx([0.1, 0.89, 0.49, 0.89, 0.29, 0.2, 0.1])
    assert [one.waited_for for one in found.chain[:5]] == ["web", "api", "migrate", "bootstrap", None]


def test_the_links_of_a_sealed_boot_add_up_to_the_moment_of_its_seal():
    for seal in (made.at(0.3, 3.0), made.at(0.3, 9.5)):
        found = made.analysed(*made.own(seal), *made.VIEWS)
        assert sum((one.seconds or 0.0) + (one.lag or 0.0) for one in found.chain) == pytest.approx(found.sealed)


def test_waiting_is_told_apart_from_starting():
    web = link(made.analysed(*made.own(), *made.VIEWS), "web")
    assert (web.waited, web.seconds, web.lag) == pytest.approx((2.01 - 0.3, 0.89, 0.01))


def test_what_nobody_requires_is_on_no_critical_chain():
    found = made.analysed(*made.own(made.at(0.3, 9.5)), *made.VIEWS)
    assert "extra" not in chain(found)
    assert any(row.name == "extra" for row in found.blame)


def test_a_need_that_is_only_to_be_started_counts_with_its_start():
    weak = boots.program("api", after=boots.needs("redis", condition=plan.STARTED))
    views = (*made.own(), made.view("redis", made.at(0.7, 2.95)), made.view("api", made.at(0.71, 2.97)))
    found = made.analysed(*views, the_plan=boots.make_plan(made.REDIS, weak))
    assert chain(found)[:3] == ["seal", "api", "redis"]
    assert (link(found, "redis").at, link(found, "redis").seconds) == (0.7, 0.0)


def test_who_was_ready_again_before_the_seal_counts_with_that_and_what_came_after_it_does_not():
    again = made.view("redis", made.at(0.62, 0.9), made.at(2.5, 2.95), restarts=1)
    assert chain(made.analysed(*made.own(), *made.replaced(redis=again)))[:3] == ["seal", "redis", "bootstrap"]
    later = made.view("redis", made.at(0.62, 0.9), made.at(30.0, 31.0), restarts=1)
    assert chain(made.analysed(*made.own(), *made.replaced(redis=later))) == chain(
        made.analysed(*made.own(), *made.VIEWS)
    )


def test_a_need_counts_with_the_readiness_that_let_the_program_start():
    """It restarted after api had been started: that readiness released nobody."""
    migrate = made.view("migrate", made.at(0.61, 1.5), made.at(2.1, 2.3), oneshot=True, pid=None, restarts=1)
    found = made.analysed(*made.own(), *made.replaced(migrate=migrate))
    assert link(found, "migrate").at == 1.5


def test_a_program_that_failed_now_was_part_of_the_boot_all_the_same():
    broken = made.view("web", made.at(2.01, 2.9), state=snapshot.FAILED, reason="exited with code 1", pid=None)
    assert chain(made.analysed(*made.own(), *made.replaced(web=broken)))[:2] == ["seal", "web"]


def test_a_program_that_was_added_after_the_seal_is_no_part_of_the_boot():
    added = made.view("web", made.at(20.0, 21.0))
    assert chain(made.analysed(*made.own(), *made.replaced(web=added)))[:2] == ["seal", "api"]


def test_an_empty_required_set_waits_for_bootseals_own_programs():
    found = made.analysed(
        *made.own(made.at(0.32, 0.65)), the_plan=boots.make_plan(boots.program("extra", required=False))
    )
    assert chain(found) == ["seal", "bootstrap", "supervisord", "Stage A"]


def test_a_later_generation_begins_with_its_first_program_and_has_no_stage_a():
    def moved(one: snapshot.ProgramView) -> snapshot.ProgramView:
        late = snapshot.Timeline(*(None if value is None else value + 100 for value in vars(one.first).values()))
        return dataclasses.replace(one, first=late, latest=late)

    found = made.analysed(*map(moved, (*made.own(), *made.VIEWS)), generation=2, asked=160.0)
    assert (found.began, found.sealed, found.phases) == (pytest.approx(100.3), pytest.approx(2.7), ())
    assert chain(found)[-2:] == ["bootstrap", "supervisord"]
    assert link(found, "supervisord").at == 0.0
    assert "after generation 2 began" in analysis_text.headline(found)


# --- not sealed -------------------------------------------------------------------------------------------------------


def test_a_boot_that_is_not_sealed_names_who_keeps_it_from_that_and_who_waits_for_it():
    views = made.replaced(
        migrate=made.view("migrate", made.at(0.61)), api=made.view("api", made.NEVER), web=made.view("web", made.NEVER)
    )
    found = made.unsealed(*views)
    assert chain(found) == ["seal", "web", "api", "migrate", "bootstrap", "supervisord", "Stage A"]
    assert [one.at is None for one in found.chain] == [True] * 4 + [False] * 3
    assert link(found, "seal").reason == "waits for migrate, api, web"
    assert link(found, "migrate").seconds == pytest.approx(10.0 - 0.61), "so far"
    assert link(found, "api").seconds is None
    assert found.sealed is None


def test_of_several_that_are_late_the_one_that_tries_longest_leads_and_what_only_waits_does_not():
    views = made.replaced(
        redis=made.view("redis", made.at(0.7)),
        migrate=made.view("migrate", made.at(0.61)),
        api=made.view("api", made.NEVER),
    )
    found = made.unsealed(*views[:3])
    assert chain(found)[1:3] == ["api", "migrate"]


def test_who_failed_for_good_comes_before_who_may_still_become_ready_and_took_the_time_until_it_failed():
    failed = {"state": snapshot.FAILED, "reason": "is FATAL", "pid": None, "final": True, "since": made.wall(4.0)}
    dead = made.view("redis", made.at(0.7), **failed)
    views = made.replaced(redis=dead, migrate=made.view("migrate", made.at(0.61)))
    found = made.unsealed(*views[:2])
    assert chain(found)[1:2] == ["redis"]
    assert link(found, "redis").seconds == pytest.approx(4.0 - 0.7)
    text = analysis_text.render(found, coloured=False)
    assert "redis failed +3.300s: is FATAL" in text
    trying = made.view("redis", made.at(0.7), **{**failed, "final": False})
    assert chain(made.unsealed(*made.replaced(redis=trying, migrate=views[0])[:2]))[1:2] == ["migrate"]


def test_sealed_is_the_moment_of_the_seal_and_not_the_end_of_its_program():
    record, views = boots.boot(phases=made.PHASES), (*made.own(), *made.VIEWS)

    def sealed(at: float, elapsed: float | None = None) -> float | None:
        seal = dataclasses.replace(made.SEAL, at=made.wall(at))
        return analysis.of(
            made.PLAN, record, boots.ledger(*views, phase=snapshot.SEALED, seal=seal), 61.5, elapsed
        ).sealed

    assert sealed(2.95) == pytest.approx(2.95)
    assert sealed(2.95, 2.93) == 2.93
    assert (sealed(3600.0), sealed(-3600.0)) == (3.0, 2.9), "the clock was set meanwhile"


def test_a_failed_program_that_has_no_process_took_the_time_until_it_failed():
    failed = {"state": snapshot.FAILED, "reason": "is FATAL", "pid": None, "since": made.wall(1.0)}
    dead = made.view("redis", made.at(0.62), **failed)
    found = made.unsealed(
        *made.replaced(redis=dead, api=made.view("api", made.NEVER), web=made.view("web", made.NEVER)),
        phase=snapshot.HELD,
    )
    assert (link(found, "redis").seconds, link(found, "redis").state) == (pytest.approx(0.38), snapshot.FAILED)
    assert chain(found)[1:4] == ["web", "api", "redis"]


def test_a_program_that_was_ready_and_is_not_any_more_keeps_the_boot_from_its_seal():
    gone = made.view(
        "redis", made.at(0.62, 0.9), state=snapshot.FAILED, reason="its live check fails", since=made.wall(8.0)
    )
    found = made.unsealed(*made.replaced(redis=gone))
    assert chain(found)[:2] == ["seal", "redis"]
    assert link(found, "redis").at is None
    assert link(found, "redis").seconds == pytest.approx(8.0 - 0.62), "until it failed"


def test_who_runs_waits_for_nobody_whatever_became_of_what_it_needed():
    gone = made.view("api", made.at(1.51, 2.0), state=snapshot.FAILED, reason="its live check fails")
    found = made.unsealed(*made.replaced(api=gone, web=made.view("web", made.at(2.01))))
    assert chain(found)[:3] == ["seal", "api", "migrate"]


def test_when_everybody_is_ready_the_seal_itself_is_waited_for():
    found = made.unsealed(*made.VIEWS)
    assert chain(found)[:2] == ["seal", "web"]
    assert link(found, "seal").seconds == pytest.approx(10.0 - 2.9)
    assert "not written yet" in link(found, "seal").reason


def test_programs_that_wait_for_each_other_or_for_nobody_known_end_the_walk():
    circle = boots.make_plan(
        boots.program("a", after=boots.needs("b")), boots.program("b", after=boots.needs("a", "ghost"))
    )
    found = made.unsealed(made.view("a", made.NEVER), made.view("b", made.NEVER), the_plan=circle)
    assert sorted(chain(found)[1:3]) == ["a", "b"]


def test_a_boot_in_which_nothing_was_spawned_yet_is_analysed():
    nothing = (
        dataclasses.replace(one, first=made.NEVER, latest=made.NEVER, state=snapshot.PENDING, pid=None)
        for one in made.own()
    )
    found = made.analysed(*nothing, phase=snapshot.BOOTING, seal=None, asked=0.2)
    assert chain(found)[-1] == "Stage A"
    assert found.handover is None
    assert analysis_text.render(found, coloured=False)


def test_another_boots_record_is_refused():
    ledger = boots.ledger(*made.own(), boot_id="f" * 32)
    with pytest.raises(errors.InvalidRecord, match="of boot"):
        analysis.of(made.PLAN, boots.boot(), ledger, 10.0)


# --- blame ------------------------------------------------------------------------------------------------------------


def test_the_blame_has_everything_by_its_own_time_the_longest_first():
    found = made.analysed(*made.own(), *made.VIEWS)
    assert [row.name for row in found.blame] == [
        "extra", "web", "migrate", "api", "bootstrap", "redis", "probes", "supervisord", "bootstrap-seal", "identity",
        "plan",
    ]  # fmt: skip
    seconds = {row.name: row.seconds for row in found.blame}
    assert seconds["bootstrap-seal"] == pytest.approx(0.1), "not the time that it waited for the others"
    assert seconds["plan"] == 0.02


def test_what_has_no_time_of_its_own_comes_last_with_its_reason():
    found = made.unsealed(*made.replaced(web=made.view("web", made.NEVER)), phase=snapshot.HELD)
    last = {row.name: (row.seconds, row.reason) for row in found.blame[-2:]}
    assert last == {"web": (None, "web is not ready"), "bootstrap-seal": (None, "bootstrap-seal is not ready")}


# --- as JSON and as text ----------------------------------------------------------------------------------------------


def test_the_json_says_all_of_it_in_microseconds():
    value = analysis.to_json(made.analysed(*made.own(), *made.VIEWS))
    assert json.loads(json.dumps(value)) == value
    assert value["schema"] == analysis.SCHEMA
    assert value["chain"][1] == {
        "name": "web", "kind": "program", "at": 2.9, "seconds": 0.89, "waited": 1.71, "waited_for": "api", "lag": 0.01,
        "state": "ready", "reason": "",
    }  # fmt: skip
    assert {row["kind"] for row in value["blame"]} == {
        "phase", "supervisord", "program", "probes", "stage-b", "seal",
    }  # fmt: skip


def test_the_text_is_a_tree_and_a_list():
    lines = analysis_text.render(made.analysed(*made.own(), *made.VIEWS), coloured=False).splitlines()
    assert lines[0] == "sealed 3.000s after Stage A began"
    assert lines[2] == "Stage A 0.100s + supervisord 0.200s + programs and seal 2.700s"
    assert lines[5:8] == [
        "seal @3.000s +0.100s",
        "└─web @2.900s +0.890s  held back 1.710s, for api last",
        "  └─api @2.000s +0.490s  held back 1.210s, for migrate last",
    ]
    assert "longest: identity 0.080s, plan 0.020s" in "\n".join(lines)
    assert "8.370s  extra" in lines


def test_the_text_of_a_boot_that_is_held_says_so_and_colours_only_where_asked():
    found = made.unsealed(
        *made.replaced(web=made.view("web", made.at(2.01))), phase=snapshot.HELD, failure="web\x1b[31m is late"
    )
    text = analysis_text.render(found, coloured=False)
    assert text.splitlines()[0] == "not sealed, 10.000s after Stage A began: held: web\\x1b[31m is late"
    assert "└─web pending +7.990s so far: web is not ready" in text
    assert "\x1b" not in text
    assert "\x1b[" in analysis_text.render(found, coloured=True)


def test_a_long_wait_between_a_need_and_the_start_is_told():
    text = analysis_text.render(
        made.analysed(*made.own(), *made.replaced(web=made.view("web", made.at(2.5, 2.9)))), coloured=False
    )
    assert "for api last, spawned 0.500s after that" in text


def test_a_chain_of_a_thousand_programs_is_walked_and_printed():
    names = [f"p{number}" for number in range(1000)]
    programs = [
        boots.program(name, after=boots.needs(names[number - 1]) if number else ()) for number, name in enumerate(names)
    ]
    views = [made.view(name, made.at(0.7 + number, 1.6 + number)) for number, name in enumerate(names)]
    the_plan = boots.make_plan(*programs)
    found = made.analysed(*made.own(made.at(0.3, 1001.0)), *views, the_plan=the_plan, asked=2000.0)
    assert len(found.chain) == 1000 + 4
    assert max(map(len, analysis_text.render(found, coloured=False).splitlines())) < 200
    waiting = [made.view(name, made.NEVER) for name in names]
    assert len(made.unsealed(*waiting, the_plan=the_plan).chain) == 1000 + 3
