"""Stage A's judgement: what changed is not executed, no secret is told, and a lock that is named is read."""

import hashlib
import os
import pathlib

import pytest

from artifacts import closure, expansion, lock
from contract import errors
from entrypoint import closures
from manifest import plan, provisions
from tests.unit import boots

SECRET = "correct-horse-battery"


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    os.chmod(tmp_path, 0o755)
    (tmp_path / "app").write_text("x")
    script(tmp_path / "tool", "exit 0")
    return tmp_path


def judge(
    image: pathlib.Path, *argv: str, path: str = "/usr/bin:/bin", change: bool = True, hide: tuple[str, ...] = ()
) -> str:
    """Return why app, whose check is ``argv``, cannot be used when tool was changed after the lock."""
    check = provisions.ArtifactCheck(argv, str(image), 20.0)
    app = provisions.ArtifactPlan("app", f"{image}/app", True, "file", "digest", check)
    tool = provisions.ArtifactPlan("tool", f"{image}/tool", False, "file", "digest")
    (image / "ran").unlink(missing_ok=True)
    locked = [expansion.expand(one, str(image)) for one in (app, tool)]
    data = lock.dump(closure.Lock(tuple(locked)))
    (image / "closures.lock").write_bytes(data)
    if change:
        script(image / "tool", "echo changed; exit 1")
    made = boots.make_plan(
        artifacts=(app, tool), lock=provisions.LockPlan(hashlib.sha256(data).hexdigest(), str(image))
    )
    loaded = plan.LoadedPlan(made, str(image), "0" * 64)
    one, _ = closures.judge(loaded, {"PATH": path}, hide)
    return one.reason


@pytest.mark.parametrize("way", ["named", "on PATH", "by a link", "as an argument", "by its interpreter", "relative"])
def test_a_check_that_executes_what_changed_is_not_run(image: pathlib.Path, way: str):
    (image / "link").symlink_to("tool")
    asked = {
        "named": (f"{image}/tool",), "on PATH": ("tool",), "by a link": (f"{image}/link",),
        "as an argument": ("/bin/sh", "tool"), "by its interpreter": (f"{image}/other",), "relative": ("./tool",),
    }[way]  # fmt: skip
    other = script(image / "other", "")
    other.write_text(f"#!{image}/tool\n")
    reason = judge(image, *asked, path=f"{image}:/usr/bin:/bin")
    assert reason.endswith("cannot be run: it executes what belongs to artifact tool, which changed")


def test_a_check_that_executes_nothing_that_changed_is_run(image: pathlib.Path):
    assert judge(image, "/bin/sh", "-c", "exit 0") == ""
    assert "exited with code 7" in judge(image, "sh", "-c", "exit 7", path=f"/usr/bin:/bin:{image}")
    script(image / "tool", "exit 0")
    assert judge(image, f"{image}/tool", change=False) == ""


def test_what_a_check_says_is_shown_without_secrets_and_without_what_a_terminal_acts_on(image: pathlib.Path):
    reason = judge(
        image, "sh", "-c", f"printf '\\033[2Jtwo\\nlines {SECRET[:8]}''{SECRET[8:]}'; exit 1", hide=(SECRET,)
    )
    assert reason.endswith("\\x1b[2Jtwo\\nlines ***")
    assert reason.isprintable()


def test_the_secrets_of_the_container_are_those_of_their_names_and_those_of_the_plan():
    made = boots.make_plan(secrets=(boots.secret("x", "api", variable="PLAIN"),))
    found = closures.secrets_of(made, {"PLAIN": "hunter-two", "API_TOKEN": "hunter-three", "HOME": "/home/x"})
    assert set(found) == {"hunter-two", "hunter-three"}


def test_a_lock_that_is_named_must_be_good_also_without_artifacts(tmp_path: pathlib.Path):
    (tmp_path / "closures.lock").write_text("garbage")
    made = boots.make_plan(lock=provisions.LockPlan("0" * 64, str(tmp_path)))
    with pytest.raises(errors.InvalidRecord):
        closures.judge(plan.LoadedPlan(made, str(tmp_path), "0" * 64), {})
