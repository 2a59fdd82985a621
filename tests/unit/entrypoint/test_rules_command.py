"""``bootseal rules``: every diagnostic is listed, and explained by an example that is wrong and then right."""

import json

import click
import pytest
import yaml
from click import testing

from contract import exit_codes
from entrypoint import cli
from entrypoint.commands import rules as command
from manifest import rules
from manifest.explained import example, shelf

FORMS = {"json": json.loads, "yaml": yaml.safe_load}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["rules", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_every_code_is_listed_once_with_its_title_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (exit_codes.OK, "")
    listed = [line.strip().partition("  ") for line in out.splitlines() if line.startswith("  ")]
    assert sorted(listed) == [(one.code, "  ", one.title) for one in rules.RULES.values()]
    assert [line for line in out.splitlines() if line and not line.startswith(" ")] == list(rules.GROUPS)


def test_every_rule_is_in_one_group_and_none_is_empty() -> None:
    grouped = [rule.code for found in rules.GROUPS.values() for rule in found]
    assert sorted(grouped) == sorted(rules.RULES)
    assert all(rules.GROUPS.values())
    assert {rules.group_of(code) for code in rules.RULES} == set(rules.GROUPS)


def test_a_code_is_explained_with_both_sides_of_its_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "E020")
    assert (code, err) == (exit_codes.OK, "")
    lines = out.splitlines()
    assert lines[0] == "E020: unknown key"
    assert rules.RULES["E020"].explanation in out.replace("\n", " ")
    for side, mark in ((example.FAILING, "-"), (example.FIXED, "+")):
        for line in shelf.EXAMPLES["E020"].side(side)[example.MANIFEST].splitlines():
            assert f"    {line}" in lines or f"  {mark} {line}" in lines
    assert sum(line.startswith("  - ") for line in lines) == sum(line.startswith("  + ") for line in lines) == 1


@pytest.mark.parametrize("code", sorted({*shelf.EXAMPLES} & {*rules.RULES}))
def test_every_code_can_be_printed_plainly_and_within_a_screen(code: str) -> None:
    text = command.explained(rules.RULES[code], coloured=False)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 140


def test_several_codes_are_explained_in_the_order_in_which_they_are_asked_for_and_each_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "w001", "E101", "W001", "e020")
    assert code == exit_codes.OK
    heads = [line for line in out.splitlines() if line[:1] in {"E", "W"} and line[4:6] == ": "]
    assert [head[:4] for head in heads] == ["W001", "E101", "E020"]


def test_what_is_beside_the_manifest_what_a_shell_makes_and_what_up_says_are_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "in a shell, where bootseal.yaml is to be:\n  - mkdir bootseal.yaml\n" in run(capsys, "E001")[1]
    assert "bootseal.yaml, with `bootseal up`:\n" in run(capsys, "W008")[1]
    assert shelf.EXAMPLES["W008"].note in run(capsys, "W008")[1]


def test_only_on_a_terminal_the_sides_have_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in run(capsys, "E020")[1]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run(capsys, "E020")[1]
    assert "\x1b[31m  - " in shown
    assert "\x1b[32m  + " in shown


@pytest.mark.parametrize("form", FORMS)
def test_tools_get_every_rule_whole(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--format", form)
    assert (code, err) == (exit_codes.OK, "")
    said = FORMS[form](out)
    assert said["schema"] == command.SCHEMA
    assert [one["code"] for one in said["rules"]] == list(rules.RULES)
    for one in said["rules"]:
        rule, found = rules.RULES[one["code"]], shelf.EXAMPLES[one["code"]]
        assert (one["title"], one["explanation"]) == (rule.title, rule.explanation)
        assert one["severity"] == {"E": "error", "W": "warning"}[rule.code[0]]
        assert rule in rules.GROUPS[one["group"]]
        assert one["command"] == ("up" if found.up else "check")
        for key, side in (("failing", example.FAILING), ("fixed", example.FIXED)):
            listings = found.side(side)
            assert one[key]["script"] == listings.pop(example.SCRIPT, None)
            assert one[key]["files"] == listings


@pytest.mark.parametrize("form", FORMS)
def test_tools_get_the_codes_that_they_ask_for(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "w002", "E009", "--format", form)
    assert code == exit_codes.OK
    assert [one["code"] for one in FORMS[form](out)["rules"]] == ["W002", "E009"]


@pytest.mark.parametrize(("unknown", "nearest"), [("E999", "E099"), ("e02", "E02"), ("W0100", "W010")])
def test_an_unknown_code_is_refused_with_the_nearest_and_nothing_is_printed(
    unknown: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "E020", unknown)
    assert (code, out) == (exit_codes.USAGE_ERROR, "")
    assert err.startswith(f"bootseal: code {unknown.upper()}: no diagnostic has this code (")
    assert nearest in err
    assert err.count("\n") == 1


def test_a_word_like_no_code_is_answered_with_where_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "nonsense")
    assert code == exit_codes.USAGE_ERROR
    assert err == "bootseal: code NONSENSE: no diagnostic has this code (`bootseal rules` lists all)\n"


@pytest.mark.parametrize("hostile", ["\x1b[31mE020", "E020\nE021", "E" * 100_000, "", "\udcff"])
def test_what_was_given_cannot_act_on_the_terminal(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, hostile)
    assert (code, out) == (exit_codes.USAGE_ERROR, "")
    assert err.rstrip("\n").isprintable()
    assert len(err) < 1000


def test_a_shell_completes_codes_in_either_case() -> None:
    [parameter] = [one for one in command.rules.params if isinstance(one, click.Argument)]
    found = parameter.shell_complete(click.Context(command.rules), "w00")
    assert [one.value for one in found] == [code for code in rules.RULES if code.startswith("W00")]
    assert found[0].help == rules.RULES["W001"].title


def test_the_help_says_what_the_signs_mean() -> None:
    shown = testing.CliRunner().invoke(command.rules, ["--help"]).output
    assert "Exit 0, or 2" in " ".join(shown.split())
