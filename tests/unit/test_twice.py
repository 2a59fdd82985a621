"""In CI a few failed tests are run once more and named; elsewhere, and when there are many, they count at once."""

import os
import pathlib
import subprocess
import sys

TWICE = pathlib.Path(__file__).parents[1] / "twice.py"
FLAKY = """
import pathlib

def test_fails_the_first_time():
    marker = pathlib.Path("seen")
    was_there = marker.exists()
    marker.touch()
    assert was_there
"""
ALWAYS = "def test_fails_always():\n    assert False\n"
MANY = "import pytest\n\n@pytest.mark.parametrize('number', range(4))\ndef test_fails(number):\n    assert False\n"


def run(folder: pathlib.Path, module: str, **environment: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(module)
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, str(TWICE), "-q", "test_it.py"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env={**inherited, **environment}
    )
    return done.returncode, done.stdout


def test_what_fails_once_in_ci_is_named(tmp_path: pathlib.Path):
    code, said = run(tmp_path, FLAKY, CI="true")
    assert code == 0
    assert "1 failed" in said
    assert "FLAKY test_it.py::test_fails_the_first_time" in said


def test_what_fails_twice_fails(tmp_path: pathlib.Path):
    code, said = run(tmp_path, ALWAYS, CI="true")
    assert code == 1
    assert said.count("1 failed") == 2 + said.count("1 failed; once more")
    assert "FLAKY" not in said


def test_many_failures_are_no_accident(tmp_path: pathlib.Path):
    code, said = run(tmp_path, MANY, CI="true")
    assert (code, "once more" in said) == (1, False)


def test_elsewhere_everything_counts_at_once(tmp_path: pathlib.Path):
    code, said = run(tmp_path, FLAKY)
    assert (code, "once more" in said) == (1, False)


def test_an_earlier_runs_failures_are_not_this_ones(tmp_path: pathlib.Path):
    run(tmp_path, ALWAYS)
    assert run(tmp_path, "def test_fine():\n    pass\n", CI="true")[0] == 0


def test_what_cannot_be_collected_fails(tmp_path: pathlib.Path):
    code, said = run(tmp_path, "import nothing_of_that_name\n", CI="true")
    assert (code, "once more" in said) == (2, False)
