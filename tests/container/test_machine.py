"""A machine without an engine never passes silently: it is a named skip, or a failure where containers are required."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.container import box
from tests.container.conftest import REQUIRE

pytestmark = pytest.mark.container

TOOLS = ("bash", "env", "sed", "stat", "tr")


@pytest.fixture
def bare_path(tmp_path: pathlib.Path) -> str:
    """A PATH without podman and runc."""
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / tool).symlink_to(found)
    return str(tmp_path)


def run_one_test(path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one quick container test in a pytest of its own."""
    chosen = "tests/container/test_image.py::test_the_scripts_are_sound"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", "-rs", chosen]
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", REQUIRE, "PATH"}}
    variables = {**kept, "PATH": path, **environment}
    return subprocess.run(command, cwd=box.PROJECT, env=variables, capture_output=True, text=True, check=False)


def test_without_an_engine_the_skip_names_the_packages(bare_path: str) -> None:
    done = run_one_test(bare_path)
    assert done.returncode == 0, done.stdout
    assert "skipped" in done.stdout
    assert "passed" not in done.stdout
    assert "apt-get install podman" in done.stdout


@pytest.mark.parametrize("variable", ["CI", REQUIRE])
def test_where_containers_are_required_their_absence_is_a_failure(bare_path: str, variable: str) -> None:
    done = run_one_test(bare_path, **{variable: "1"})
    assert done.returncode == 1, done.stdout
    assert "apt-get install podman" in done.stdout


def test_the_engine_script_says_what_to_install(bare_path: str) -> None:
    done = subprocess.run([box.ENGINE, "run"], env={"PATH": bare_path}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt-get install podman" in done.stderr
