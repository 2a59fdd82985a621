"""The suite's options and its report, as a pytest plugin: an entry point, so that the options are known before anything is collected.

Rules
-----
* Every pytest of an environment with bootseal in it loads this module, so it imports nothing of weight until the suite runs.
* A wrong option ends the run before a container is asked: exit code 4, as pytest's own.
"""

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from container.conformance import report as reporting
    from manifest import plan

SUITE = "container.conformance.test_conformance"
_PLAN = pytest.StashKey["plan.LoadedPlan"]()
_ROW = "bootseal-promise"
_MOST_BYTES = 16 * 1024 * 1024


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("bootseal", "bootseal: the conformance of a container to its plan")
    group.addoption("--plan", metavar="FILE", help="the plan.json that the image was built with, or its directory")
    group.addoption("--report", metavar="FILE", help="write the report there: FILE.json or FILE.md")
    group.addoption(
        "--stop", action="store_true", help="at last stop the container, and judge how: it is down afterwards"
    )
    group.addoption("--run-dir", metavar="DIR", help="the container's run directory, where it is not the plan's")
    group.addoption(
        "--shared-network",
        action="store_true",
        help="others listen in the same network namespace (a pod's other containers): judge listeners whose process is seen",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Read the plan, once the suite is among what runs."""
    if any(_is_of_suite(item) for item in session.items) and not session.config.option.collectonly:
        prepare(session.config)


def prepare(config: pytest.Config) -> None:
    """Read the plan that the options name, and begin the report; raises UsageError."""
    from container.conformance import report as reporting
    from contract import errors
    from manifest import plan

    named, file = config.getoption("--plan"), config.getoption("--report")
    if not named:
        raise pytest.UsageError("--plan: it is not given (name the plan.json that `bootseal build` wrote)")
    if file and os.path.splitext(file)[1] not in reporting.FORMS:
        raise pytest.UsageError(f"--report {file}: it is neither .json nor .md (name the file by its form)")
    if file and not os.path.isdir(os.path.dirname(os.path.abspath(file))):
        raise pytest.UsageError(f"--report {file}: its directory is not there (make it first)")
    try:
        loaded = plan.load(named) if os.path.isdir(named) else _load(named)
    except errors.BootsealError as error:
        raise pytest.UsageError(f"--plan: {error}") from error
    config.stash[_PLAN] = loaded
    if file:
        config.pluginmanager.register(Reporter(file, loaded))


def given_plan(config: pytest.Config) -> "plan.LoadedPlan":
    """Return the plan that was given."""
    return config.stash[_PLAN]


def tell(record: Any, row: "reporting.Row") -> None:
    """Put a promise's row among the properties of its test (``record`` is pytest's ``record_property``)."""
    record(_ROW, [row.host, row.promise, row.says, row.outcome, list(row.seen)])


def _load(path: str) -> "plan.LoadedPlan":
    """Return the plan in the file ``path``, whatever it is called; raises BootsealError."""
    import hashlib

    from contract import errors, files
    from manifest import plan

    try:
        data = files.read_bounded(path, _MOST_BYTES)
    except OSError as error:
        why = errors.describe_os_error(error)
        raise errors.InvalidRecord(f"plan {path}", why, "name the plan.json that `bootseal build` wrote") from error
    return plan.LoadedPlan(plan.parse(data, f"plan {path}"), os.path.dirname(path), hashlib.sha256(data).hexdigest())


class Reporter:
    """Gathers the promises' rows and writes the report at the end."""

    def __init__(self, file: str, loaded: "plan.LoadedPlan") -> None:
        self._file = file
        self._loaded = loaded
        self._rows: list[reporting.Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the row of a test that was called."""
        from container.conformance import report as reporting

        if report.when == "call":
            for name, value in report.user_properties:
                if name == _ROW and isinstance(value, list):
                    *words, seen = value
                    host, called, says, outcome = map(str, words)
                    self._rows.append(reporting.Row(host, called, says, outcome, tuple(map(str, seen))))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write it; a report that cannot be written fails the run."""
        from container.conformance import report as reporting
        from contract import errors

        try:
            reporting.write(self._file, self._rows, self._loaded.plan.name, self._loaded.sha256)
        except (OSError, errors.BootsealError) as error:
            print(f"\n--report {self._file}: {error}")
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _is_of_suite(item: pytest.Item) -> bool:
    return getattr(getattr(item, "module", None), "__name__", "") == SUITE
