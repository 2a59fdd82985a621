"""How diagnostics look: the whole text, once, and what makes it safe and readable."""

import pathlib

import pytest

from manifest import compile as compiling
from manifest import diagnostics, tree
from tests.unit.manifest import manifests

GOLDEN = pathlib.Path(__file__).parent / "golden"


def test_many_errors_are_reported_at_once_as_a_good_compiler_would() -> None:
    result = compiling.load(str(GOLDEN / "many-errors.yaml"))
    shown = diagnostics.render(result.diagnostics, "many-errors.yaml", result.text)
    assert shown == (GOLDEN / "many-errors.txt").read_text()


def test_a_fixed_error_uncovers_no_other(tmp_path: pathlib.Path) -> None:
    """What is found with one fault in the file is found with many: no fault hides another."""
    text = (GOLDEN / "many-errors.yaml").read_text()
    everything = {(d.code, d.message) for d in compiling.load(str(GOLDEN / "many-errors.yaml")).diagnostics}
    fixed = (
        text.replace("version: 2", "version: 1")
        .replace("strict: yes", "strict: true")
        .replace("seal_timeout: 120", "seal_timeout: 2m")
    )
    remaining = {(d.code, d.message) for d in manifests.load(tmp_path, fixed).diagnostics}
    assert remaining < everything


def shown(line: str, column: int, width: int) -> list[str]:
    found = diagnostics.Diagnostic("E020", "what: why", "do", tree.Place(1, column, width))
    return diagnostics.render([found], "m.yaml", line).splitlines()[1:3]


def test_the_underline_stands_under_what_is_meant() -> None:
    assert shown("ab: cd", 5, 2) == ["    1 | ab: cd", "      |     ^^"]


def test_wide_and_combining_characters_do_not_shift_the_underline() -> None:
    assert shown("名前: x", 5, 1) == ["    1 | 名前: x", "      |       ^"]
    assert shown("e\u0301: x", 5, 1) == ["    1 | e\u0301: x", "      |    ^"]


def test_a_tab_is_one_cell() -> None:
    assert shown("\ta: x", 2, 1) == ["    1 |  a: x", "      |  ^"]


def test_a_long_line_is_cut_around_the_place() -> None:
    source, underline = shown("a" * 5000 + "HERE" + "b" * 5000, 5001, 4)
    assert len(source) <= 130
    assert source[underline.index("^") : underline.index("^") + 4] == "HERE"
    assert underline.count("^") == 4


def test_an_underline_ends_with_its_line() -> None:
    assert shown("ab", 2, 99)[1].count("^") == 1


def test_a_place_after_the_end_of_the_source_is_shown_without_source() -> None:
    found = diagnostics.Diagnostic("E005", "what: why", "", tree.Place(9, 1))
    assert diagnostics.render([found], "m.yaml", "a\n") == "m.yaml:9:1: error[E005]: what: why\nm.yaml: 1 error\n"


def test_a_manifest_cannot_write_to_a_terminal(tmp_path: pathlib.Path) -> None:
    hostile = [
        "a: \x1b]0;owned\x07\n",
        'version: 1\nname: "\\x1b[31m"\n',
        'version: 1\n"\\e[2J": 1\n',
        "a: \u202e\u009b31m\n",
    ]
    for text in hostile:
        result = manifests.load(tmp_path, text)
        assert result.diagnostics
        rendered = diagnostics.render(result.diagnostics, "m.yaml", result.text)
        assert all(character.isprintable() or character == "\n" for character in rendered), rendered


def test_a_message_is_bounded(tmp_path: pathlib.Path) -> None:
    result = manifests.load(
        tmp_path, f"version: 1\nname: {'x_' * 300_000}\n{'k' * 1000}: 1\nprograms: {{{'p' * 1000}: 1}}\n"
    )
    assert result.diagnostics
    assert all(len(str(diagnostic)) < 500 for diagnostic in result.diagnostics)


def test_beyond_what_can_be_read_diagnostics_are_counted() -> None:
    many = [diagnostics.Diagnostic("E020", f"{number}", "", tree.Place(1, 1)) for number in range(250)]
    lines = diagnostics.render(many, "m.yaml", "a").splitlines()
    assert lines[-2:] == ["m.yaml: and 150 more", "m.yaml: 250 errors"]
    assert sum("error[E020]" in line for line in lines) == 100


def test_errors_and_warnings_are_counted_apart() -> None:
    one, two = (diagnostics.Diagnostic(code, "", "", None) for code in ("E001", "W001"))
    assert diagnostics.count([one]) == "1 error"
    assert diagnostics.count([one, one, two]) == "2 errors, 1 warning"
    assert diagnostics.count([two]) == "1 warning"


@pytest.mark.parametrize(
    ("word", "names", "meant"),
    [
        ("comand", ["command", "after"], "command"),
        ("start-retries", ["start_retries"], "start_retries"),
        ("Boot", ["boot"], "boot"),
        ("zzz", ["boot"], None),
        ("", [], None),
    ],
)
def test_the_nearest_name_is_suggested(word: str, names: list[str], meant: str | None) -> None:
    assert diagnostics.nearest(word, names) == meant


def test_diagnostics_come_in_the_order_of_the_source_and_each_once(tmp_path: pathlib.Path) -> None:
    text = "version: 1\nname: x\nprograms:\n  a: {command: [a], stop: &s {signal: X}}\n  b: {command: [b], stop: *s, bogus: 1}\n"
    result = manifests.load(tmp_path, text)
    assert [(d.code, d.place.line) for d in result.diagnostics if d.place] == [("E026", 4), ("E020", 5)]
