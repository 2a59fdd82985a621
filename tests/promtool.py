"""Prometheus' own linter of metrics, where it is installed (``make tools``)."""

import os
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


def check_metrics(text: bytes) -> str:
    """Return what ``promtool check metrics`` has to say of ``text``: "" when it is clean.

    Skips by name where promtool is not installed, and fails there when CI says that it must be.
    """
    told = subprocess.run([_ROOT / "tests" / "install-tools", "promtool"], check=True, capture_output=True, text=True)
    path = told.stdout.strip()
    if not os.access(path, os.X_OK):
        why = "promtool is not installed (make tools)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    done = subprocess.run([path, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode()
    return said or ("" if done.returncode == 0 else f"promtool ended with {done.returncode}")
