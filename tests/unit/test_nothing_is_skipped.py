"""Where CI is set, a skipped test is a failed one."""

import os
import pathlib
import subprocess
import sys

import pytest

CONFTEST = pathlib.Path(__file__).parents[1] / "conftest.py"
MODULE = """
import pytest

@pytest.mark.skipif(True, reason="the tool is missing")
def test_marked():
    pass

def test_called():
    pytest.skip("the tool is missing")

def test_elsewhere():
    pytest.skip("root may write anywhere; the container tests boot on a read-only root")

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False
"""


def outcome(folder: pathlib.Path, **environment: str) -> tuple[int, str]:
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_it.py").write_text(MODULE)
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**inherited, **environment})
    return done.returncode, done.stdout


def test_a_skipped_test_fails_where_ci_is_set(tmp_path: pathlib.Path):
    code, said = outcome(tmp_path, CI="true")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 skipped, 1 xfailed, 1 error" in said  # a mark ends a test before its body
    assert said.count("CI skips nothing") >= 2


def test_elsewhere_it_is_only_told(tmp_path: pathlib.Path):
    code, said = outcome(tmp_path)
    assert code == pytest.ExitCode.OK
    assert "3 skipped, 1 xfailed" in said
