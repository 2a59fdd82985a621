"""What holds for all tests: hypothesis draws the same cases in every run of CI, no test has a clock to beat, and CI skips nothing.

A test that is skipped where CI is set has failed: what it needs is missing there, and nobody would notice. What can only be
tested by somebody else than the user of CI is named in ELSEWHERE, and where it is tested instead.
"""

import os

import hypothesis
import pytest

ELSEWHERE = ("root may write anywhere; the container tests boot on a read-only root",)

hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable" if os.environ.get("CI") else "exploring")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if why.removeprefix("Skipped: ") not in ELSEWHERE:
            report.outcome = "failed"
            report.longrepr = f"it was skipped, and CI skips nothing: {why}"
    return report
