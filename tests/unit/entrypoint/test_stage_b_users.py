"""Stage B where programs have users of their own: what is theirs is judged by their rights."""

import os
import pathlib

import pytest

from entrypoint import stage_b
from manifest import plan, provisions
from tests.unit import boots, children

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has programs with users of their own")
USER, OTHER = provisions.User(2001, 2001), provisions.User(2002, 2002)


@pytest.fixture
def place(tmp_path) -> pathlib.Path:
    tmp_path.chmod(0o755)
    return tmp_path


def directory(path: pathlib.Path, owner: provisions.User, mode: int) -> plan.WritableRoot:
    path.mkdir()
    os.chown(path, owner.uid, owner.gid)
    path.chmod(mode)
    return plan.WritableRoot(str(path), mode, None, mount_required=False, owner=USER)


def problems(*roots: plan.WritableRoot) -> list[str]:
    return [
        problem.what for problem in stage_b.check_writable_roots(boots.make_plan(boot=boots.boot_plan(writable=roots)))
    ]


def test_a_root_is_tried_with_the_rights_of_its_owner_and_not_with_ours(place):
    """Root without CAP_DAC_OVERRIDE could not write there, and root with it could where the owner cannot."""
    good = directory(place / "good", USER, 0o700)
    foreign = directory(place / "foreign", OTHER, 0o755)
    closed = directory(place / "closed", USER, 0o500)

    def work() -> bool:
        drop_dac_override()
        return problems(good, foreign, closed) == [f"writable root {foreign.path}", f"writable root {closed.path}"]

    assert children.run(work) == 0
    assert os.listdir(good.path) == []


def drop_dac_override() -> None:
    import ctypes

    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    kept = 1 << 6 | 1 << 7
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)) == 0


def test_a_command_must_be_executable_for_the_user_of_its_program(place):
    tool = place / "tool"
    tool.write_text("#!/bin/sh\n")
    os.chown(tool, USER.uid, USER.gid)
    tool.chmod(0o700)
    the_plan = boots.make_plan(
        boots.program("his", argv=(str(tool),), user=USER),
        boots.program("by-name", argv=("tool",), user=USER),
        boots.program("others", argv=(str(tool),), user=OTHER),
        boots.program("others-by-name", argv=("tool",), user=OTHER),
        boots.program("folder", argv=(str(place),), user=USER),
        boots.program("gone", argv=("no-such-program",), user=USER),
    )
    found = [str(problem) for problem in stage_b.check_executables(the_plan, f"/nowhere:{place}")]
    assert [text.partition(":")[0] for text in found] == [
        "program others", "program others-by-name", "program folder", "program gone",
    ]  # fmt: skip
    assert f"{tool} is not an executable file for 2002:2002" in found[0]
    assert os.geteuid() == 0


def test_an_artifact_must_be_usable_for_every_program_that_names_it(place):
    secret = place / "data"
    secret.write_text("x")
    os.chown(secret, USER.uid, USER.gid)
    secret.chmod(0o400)
    the_plan = boots.make_plan(
        boots.program("his", argv=("true",), user=USER, artifacts=("data",)),
        boots.program("others", argv=("true",), user=OTHER, artifacts=("data",)),
        boots.program("again", argv=("true",), user=OTHER, artifacts=("data",)),
        artifacts=(plan.ArtifactPlan("data", str(secret), True),),
    )
    [problem] = stage_b.check_executables(the_plan, "/usr/bin:/bin")
    assert str(problem) == f"artifact data: {secret} is not readable here for 2002:2002 (rebuild the image)"
