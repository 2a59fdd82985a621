"""The picture of a boot: well-formed, by itself, and true."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from contract import snapshot
from entrypoint import analysis, analysis_svg
from tests.unit import boots
from tests.unit.entrypoint import analysed_boots as made

SVG = "{http://www.w3.org/2000/svg}"


def parsed(found: analysis.Analysis) -> ET.Element:
    return ET.fromstring(analysis_svg.render(found))


def sealed(**changes: Any) -> analysis.Analysis:
    return made.analysed(*made.own(), *made.VIEWS, **changes)


def row(root: ET.Element, name: str) -> ET.Element:
    return next(one for one in root.iter(f"{SVG}g") if next(one.iter(f"{SVG}text")).text == name)


def bars(root: ET.Element, name: str) -> dict[str, tuple[float, float]]:
    """Return the bars of the row ``name``: their style, where they begin and where they end."""
    found = {}
    for one in row(root, name).iter(f"{SVG}rect"):
        left = float(one.attrib["x"])
        found[one.attrib["class"]] = (left, left + float(one.attrib["width"]))
    return found


def test_the_picture_has_a_row_for_each_phase_and_program_in_the_order_of_their_beginnings():
    root = parsed(sealed())
    names = [next(one.iter(f"{SVG}text")).text for one in root.iter(f"{SVG}g")]
    assert names == [
        "plan", "identity", "supervisord", "probes", "bootstrap-seal", "bootstrap", "migrate", "redis", "extra", "api", "web",
    ]  # fmt: skip


def test_a_program_waits_then_starts_then_is_ready_and_the_seal_comes_after_the_last():
    root = parsed(sealed())
    found = bars(root, "web")
    assert list(found) == ["waiting", "starting", "ready"]
    assert found["waiting"][1] == pytest.approx(found["starting"][0], abs=0.2)
    assert found["starting"][1] == pytest.approx(found["ready"][0], abs=0.2)
    assert found["starting"][0] > bars(root, "api")["ready"][0]
    [seal] = [one for one in root.iter(f"{SVG}line") if one.attrib["class"] == "seal"]
    assert float(seal.attrib["x1"]) > found["ready"][0]
    assert float(seal.attrib["x1"]) < found["ready"][1], "it ran on"


def test_running_is_marked_where_supervisor_said_it():
    running = made.view("web", made.at(2.01, 2.9, 2.95))
    root = parsed(made.analysed(*made.own(), *made.replaced(web=running)))
    [mark] = list(row(root, "web").iter(f"{SVG}line"))
    assert float(mark.attrib["x1"]) > bars(root, "web")["ready"][0]


def test_what_came_long_after_the_seal_does_not_squeeze_the_boot():
    edge = bars(parsed(sealed(asked=1e6)), "web")["ready"][1]
    assert edge == bars(parsed(sealed()), "web")["ready"][1]
    assert bars(parsed(sealed(asked=1e6)), "extra")["starting"][1] == edge


def test_a_program_that_is_not_ready_says_so_in_words():
    failed = made.view("web", made.NEVER, state=snapshot.FAILED, reason="needs <api> & more", since=made.wall(4.0))
    pending = made.view("redis", made.at(0.62))
    root = parsed(made.unsealed(*made.replaced(web=failed, redis=pending)))
    for name, word, style in (("web", "failed", "failed"), ("redis", "pending", "starting")):
        assert [text.text for text in row(root, name).iter(f"{SVG}text")] == [name, word]
        assert style in bars(root, name)
    title = row(root, "web").find(f"{SVG}title")
    assert title is not None
    assert title.text == "program web: failed 4.000 s, not ready: failed: needs <api> & more"
    assert [one for one in root.iter(f"{SVG}line") if one.attrib["class"] == "seal"] == []


def test_who_cannot_see_it_is_told_all_of_it():
    root = parsed(sealed())
    assert root.attrib["role"] == "img"
    told = {one.attrib["id"]: one.text or "" for one in root if "id" in one.attrib}
    assert root.attrib["aria-labelledby"].split() == ["title", "desc"]
    assert told["title"] == "Boot timeline: sealed 3.000s after Stage A began"
    assert "program web: spawned 2.010 s, ready 2.900 s, waited for api last" in told["desc"]


def test_the_picture_needs_nothing_beside_itself_and_knows_dark_and_light():
    text = analysis_svg.render(sealed())
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    for word in ("<script", "@import", "url(", "href", "<image", "onload", "@font-face"):
        assert word not in text, word
    assert "prefers-color-scheme:dark" in text


@pytest.mark.parametrize(
    "reason", ["<script>x</script>", "]]>&amp;\"'", "\x00\x1b[31m\x07", "\udc80 \ufffe \uffff", "a" * 100_000]
)
def test_whatever_a_program_said_the_picture_is_well_formed(reason):
    failed = made.view("web", made.NEVER, state=snapshot.FAILED, reason=reason)
    found = made.unsealed(*made.replaced(web=failed), phase=snapshot.HELD, failure=reason)
    text = analysis_svg.render(found)
    text.encode()
    root = ET.fromstring(text)
    assert [one.tag for one in root.iter() if "script" in one.tag] == []


def test_the_same_analysis_gives_the_same_bytes():
    assert analysis_svg.render(sealed()) == analysis_svg.render(sealed())


@pytest.mark.parametrize("asked", [0.0, 1e-9, 0.2, 7.0, 1e7])
def test_an_axis_of_any_length_has_a_few_round_ticks(asked):
    nothing = made.unsealed(*(made.view(one.name, made.NEVER) for one in made.VIEWS), asked=asked)
    root = parsed(nothing)
    ticks = [one for one in root.iter(f"{SVG}line") if one.attrib["class"] == "grid"]
    assert 2 <= len(ticks) <= 12
    xs = [float(one.attrib["x1"]) for one in ticks]
    assert xs == sorted(set(xs))


def test_five_hundred_programs_fit():
    programs = [boots.program(f"p{number}") for number in range(500)]
    views = [made.view(one.name, made.at(0.7, 1.0)) for one in programs]
    found = made.analysed(*made.own(), *views, the_plan=boots.make_plan(*programs))
    assert len(list(parsed(found).iter(f"{SVG}g"))) == 500 + 3 + 3
