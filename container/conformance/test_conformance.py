"""The suite itself: one test a promise, on every host that was named. What is judged, and how, is in ``promises``."""

from collections.abc import Callable
from typing import Any

import pytest

from container.conformance import collecting, outside, plugin, promise, promises, report
from contract import errors

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def name(host: Any) -> str:
    return str(host.backend.get_pytest_id())


@pytest.fixture(scope="module")
def seen(host: Any, pytestconfig: pytest.Config) -> promise.Subject | errors.BootsealError:
    """The container as it was seen, once for all promises, or why it could not be asked."""
    options = pytestconfig.option
    try:
        return collecting.look(
            host, plugin.given_plan(pytestconfig), options.run_dir, shared_network=options.shared_network
        )
    except collecting.Unreachable as error:
        return error


def told(record: Record, host: str, called: str, says: str, verdict: promise.Verdict) -> None:
    """Tell the report, and end the test as the verdict says."""
    texts = tuple(str(one) for one in verdict.violations)
    seen: tuple[str, ...] = (verdict.evidence,)
    outcome = report.KEPT
    if texts:
        outcome, seen = report.BROKEN, texts
    elif verdict.unseen:
        outcome, seen = report.UNSEEN, (verdict.unseen,)
    plugin.tell(record, report.Row(host, called, says, outcome, seen))
    if outcome == report.BROKEN:
        pytest.fail("\n".join((f"{called}: {says}", *(f"  {text}" for text in texts))), pytrace=False)
    if outcome == report.UNSEEN:
        pytest.skip(f"{called}: {verdict.unseen}")


def test_asked(name: str, seen: promise.Subject | errors.BootsealError, record_property: Record) -> None:
    """The container can be asked, and its interpreter is the one that the plan names."""
    violations: tuple[promise.Violation, ...] = ()
    if isinstance(seen, errors.BootsealError):
        violations = (promise.Violation(seen.what, seen.why, seen.remedy),)
    told(record_property, name, "asked", "The container can be asked.", promise.Verdict(violations, "it answered"))


@pytest.mark.parametrize("kept", promises.PROMISES, ids=lambda one: one.name)
def test_promise(
    name: str, seen: promise.Subject | errors.BootsealError, kept: promise.Promise, record_property: Record
) -> None:
    if isinstance(seen, errors.BootsealError):
        verdict = promise.Verdict((), "", "the container could not be asked")
    else:
        verdict = promise.verdict(kept, seen)
    told(record_property, name, kept.name, kept.says, verdict)


def test_stop(
    name: str,
    host: Any,
    seen: promise.Subject | errors.BootsealError,
    pytestconfig: pytest.Config,
    record_property: Record,
) -> None:
    """Last, and only when asked for: the container is down afterwards."""
    if isinstance(seen, errors.BootsealError):
        verdict = promise.Verdict((), "", "the container could not be asked")
    elif not pytestconfig.option.stop:
        verdict = promise.Verdict((), "", "it ends the container: asked for by --stop alone")
    else:
        stopping = promise.Promise("stop", "", lambda subject: outside.stop(host, subject.plan))
        verdict = promise.verdict(stopping, seen)
    told(record_property, name, "stop", (outside.stop.__doc__ or "").strip(), verdict)
