"""How a boot says that required artifacts cannot be used, and what to do about each."""

import pytest

from contract import errors
from entrypoint import closures
from manifest import plan, provisions

REBUILD = "rebuild the image; if you changed it on purpose, run `bootseal lock`"
COMMAND = "look at the command's output: it runs without rights, as 65534 where PID 1 is root"
INSTALL = "install it, or correct its path"


def judged(name: str, path: str, reason: str, *, required: bool = True, checked: bool = False) -> closures.Judgement:
    check = provisions.ArtifactCheck(("true",), path, 1.0) if checked else None
    artifact = plan.ArtifactPlan(name, path, required, None, provisions.DIGEST, check)
    return closures.Judgement(artifact, None, provisions.DIGEST, reason, (reason,) if reason else ())


def refusal(*those: closures.Judgement) -> str:
    with pytest.raises(errors.BootsealError) as caught:
        closures.refuse_missing(those)
    return str(caught.value)


def test_each_fault_has_the_remedy_that_fits_it():
    assert refusal(judged("api", "/", "/x (changed): y")) == f"required artifact api: /x (changed): y ({REBUILD})"
    assert refusal(judged("api", "/no/such", "/no/such: gone")) == f"required artifact api: /no/such: gone ({INSTALL})"
    failed = "its check `true` failed: it exited 1: no"
    assert refusal(judged("api", "/", failed, checked=True)) == f"required artifact api: {failed} ({COMMAND})"
    unrun = "its check `true` cannot be run: it executes what belongs to artifact node, which changed"
    assert refusal(judged("api", "/", unrun, checked=True)).endswith(f"({REBUILD})")


def test_of_several_each_has_its_own_reason_and_each_remedy_is_told_once():
    said = refusal(judged("api", "/", "one"), judged("web", "/", "", checked=True), judged("node", "/", "two"))
    assert said == f"required artifacts api, node: api: one; node: two ({REBUILD})"
    assert refusal(judged("a", "/", "one"), judged("b", "/no/such", "two")).endswith(f"({REBUILD}; {INSTALL})")


def test_an_optional_one_ends_no_boot():
    ending = judged("api", "/", "gone", required=False), judged("web", "/", "")
    assert closures.refuse_missing(ending) is None  # type: ignore[func-returns-value]
