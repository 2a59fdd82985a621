"""Each of our processes makes itself not dumpable before it does anything else."""

import json
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CASES = {
    "boot": ("entrypoint.__main__", ["boot", "--help"]),
    "stage-b": ("entrypoint.__main__", ["stage-b", "--help"]),
    "seal": ("seal.__main__", ["--run-dir", "/nowhere"]),
    "probes": ("probes.__main__", ["--run-dir", "/nowhere"]),
    "supervisord": ("supervisord.pid1", ["--help"]),
}
RUN = """
import importlib, json, sys
from contract import prctl
refused, name, arguments = sys.argv[1] == "refused", sys.argv[2], sys.argv[3:]
if refused:
    kernel = prctl.call
    prctl.call = lambda option, value: -1 if option == prctl.SET_DUMPABLE else kernel(option, value)
sys.argv[1:] = arguments
module = importlib.import_module(name)
code = module.main() if name.startswith("entrypoint") else module.main(arguments)
sys.stdout.flush()
print("\\n" + json.dumps([prctl.call(prctl.GET_DUMPABLE, 0), code]))
"""


def run(how: str, case: str) -> tuple[int, int, str]:
    """Return whether the process is dumpable in the end, the exit code, and what it said."""
    name, arguments = CASES[case]
    command = [sys.executable, "-c", RUN, how, name, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={**os.environ, "PYTHONPATH": ROOT}, timeout=60, check=True
    )
    dumpable, code = json.loads(done.stdout.splitlines()[-1])
    return dumpable, code, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_a_process_of_ours_is_not_dumpable(case):
    assert run("granted", case)[0] == 0


@pytest.mark.parametrize("case", CASES)
def test_it_does_not_go_on_where_the_kernel_refuses_that(case):
    dumpable, code, said = run("refused", case)
    assert dumpable == 1
    assert code == {"seal": 1, "probes": 1}.get(case, 6)
    assert "prctl(PR_SET_DUMPABLE)" in said
    assert ("BootstrapFailed" in said) == (case in {"boot", "supervisord"})
