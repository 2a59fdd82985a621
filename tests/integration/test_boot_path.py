"""What PID 1 imports before the hand-over: the standard library, our own rooms, and the signature library."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import tree as trees

ROOMS = {"contract", "manifest", "artifacts", "supervisord", "seal", "entrypoint"}
SIGNATURE_LIBRARY = {"cryptography", "cffi", "_cffi_backend"}
SITE = {"sitecustomize", "usercustomize", "apport_python_hook"}


def imported_before_the_exec(tree: trees.Tree) -> set[str]:
    """Return the top-level modules that Stage A imported, by ``-X importtime``; it hands over to /bin/true."""
    tree.build({"programs": {"api": {"command": ["sleep", "1"]}}}, prove=True)
    prefix = tree.root / "prefix/bin"
    prefix.mkdir(parents=True)
    (prefix / "python").symlink_to("/bin/true")
    plan = tree.plan_directory / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "prefix": str(prefix.parent)}))
    command = [sys.executable, "-I", "-X", "importtime", "-m", "entrypoint", "boot"]
    command += ["--plan", str(tree.plan_directory), "--run-dir", tree.run.path]
    result = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True)
    names = re.findall(r"^import time:.*\| +(\S+)$", result.stderr, re.MULTILINE)
    assert "json" in names
    tops = {name.partition(".")[0] for name in names}
    return {name for name in tops if importlib.util.find_spec(name)}  # an import that failed is listed as well


def test_the_boot_path_imports_the_standard_library_and_the_signature_library_only(tree: trees.Tree) -> None:
    foreign = imported_before_the_exec(tree) - set(sys.stdlib_module_names) - ROOMS - SITE
    foreign = {
        name for name in foreign if not name.startswith(("__editable", "_distutils_hack", "distutils-precedence"))
    }
    assert foreign <= SIGNATURE_LIBRARY, foreign
    assert "cryptography" in foreign


def test_the_command_lines_libraries_are_not_in_the_boot_path() -> None:
    source = (Path(__file__).parents[2] / "entrypoint/__main__.py").read_text()
    assert not re.search(r"^(import|from) (?!sys$)", source, re.MULTILINE)
