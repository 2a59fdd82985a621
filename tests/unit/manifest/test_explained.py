"""Every diagnostic has an example that gives it, and the same example mended gives none."""

import os
import pathlib
import subprocess
import sys

import pytest

from contract import rundir
from entrypoint import locked_manifest
from manifest import compile as compiling
from manifest import rules
from manifest.explained import example, shelf

UP = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
ENVIRONMENT = {"PATH": f"{sys.prefix}/bin:{os.defpath}", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def judged(one: example.Example, side: str, folder: pathlib.Path) -> list[str]:
    """Make one side of an example in ``folder`` and return the codes of what is said about it."""
    for name, text in one.side(side).items():
        if name != example.SCRIPT:
            (folder / name).write_text(text)
    if one.is_script:
        script = one.side(side)[example.SCRIPT]
        subprocess.run(
            ["/bin/sh", "-euc", script], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True, timeout=60
        )
    options = compiling.BuildOptions(run_directory=rundir.DEFAULT, relocation=UP if one.up else None)
    result, _ = locked_manifest.load(str(folder / example.MANIFEST), options)
    assert (result.plan is None) == any(found.is_error for found in result.diagnostics)
    return [found.code for found in result.diagnostics]


@pytest.mark.parametrize("code", rules.RULES)
def test_the_failing_example_gives_its_code_and_the_mended_one_nothing(code: str, tmp_path: pathlib.Path) -> None:
    assert code in shelf.EXAMPLES, f"{code} has no example: write one in manifest/explained"
    one = shelf.EXAMPLES[code]
    failing, fixed = tmp_path / "failing", tmp_path / "fixed"
    for folder, side, wanted in ((failing, example.FAILING, {code, *one.also}), (fixed, example.FIXED, set())):
        folder.mkdir()
        assert set(judged(one, side, folder)) == wanted, side


def test_no_example_is_of_a_code_that_does_not_exist_or_stands_twice() -> None:
    assert set(shelf.EXAMPLES) <= set(rules.RULES)
    assert len(shelf.EXAMPLES) == sum(len(module.EXAMPLES) for module in shelf.MODULES)


def test_the_lines_of_an_example_are_of_a_side_or_of_both_and_both_sides_differ() -> None:
    for code, one in shelf.EXAMPLES.items():
        for lines in one.listings.values():
            assert lines.endswith("\n"), code
            assert {line[:1] for line in lines.splitlines()} <= {" ", "-", "+"}, code
        assert one.side(example.FAILING) != one.side(example.FIXED), code


def test_an_example_is_taken_apart_line_by_line() -> None:
    one = example.Example(" both\n-failing\n+fixed\n-\n+  fixed\n", beside={"web.conf": "-[x]\n+[y]\n"})
    assert one.side(example.FAILING) == {example.MANIFEST: "both\nfailing\n\n", "web.conf": "[x]\n"}
    assert one.side(example.FIXED) == {example.MANIFEST: "both\nfixed\n  fixed\n", "web.conf": "[y]\n"}
