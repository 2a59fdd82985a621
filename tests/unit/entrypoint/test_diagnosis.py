"""What is judged OK, WARN or FAIL, each with what to do; and that looking changes nothing."""

import dataclasses
import os
import socket

import pytest

from contract import files, rundir
from entrypoint import boot_facts, diagnosis, machine
from manifest import plan
from tests.unit import boots

PLACE = machine.Place("/run/bootseal", True, 1000, 0o755, "tmpfs", False, 1 << 30, "")
GOOD = machine.Facts(
    kernel="6.18", landlock=7, landlock_lacks="", has_openat2=True, has_pidfd=True, in_container=True, uid=1000, capabilities=0,
    no_new_privileges=True, seccomp="filter", root_read_only=True, place=PLACE, cgroups="v2", memory_limit=1 << 30, memory_used=1 << 20,
    pids_limit=1000, pids_used=10, descriptors_soft=1024, descriptors_hard=4096, clock=1.8e9, engines={}, engines_broken={}, python="3.11.2",
    prefix="/opt/bootseal", libraries_missing=(), compiled=boot_facts.Compiled("/opt/x", "", "box", 256, False, ()), booted=None,
)  # fmt: skip
BOOTED = boot_facts.Booted(1, "/opt/x", "", (boot_facts.Door("the probe server", "/run/p.sock", ""),))


def levels(**changes):
    return {one.what: one.level for one in diagnosis.judge(dataclasses.replace(GOOD, **changes))}


def test_a_hardened_container_has_nothing_to_complain_of():
    assert set(levels().values()) == {diagnosis.OK}
    assert set(levels(booted=BOOTED).values()) == {diagnosis.OK}


@pytest.mark.parametrize(
    ("changes", "what", "level"),
    [
        ({"landlock": None, "landlock_lacks": "off"}, "Landlock", "WARN"),
        ({"landlock": 2}, "Landlock", "WARN"),
        ({"has_openat2": False}, "system calls", "WARN"),
        ({"uid": 0}, "user", "WARN"),
        ({"capabilities": 1}, "user", "WARN"),
        ({"uid": 0, "in_container": False}, "user", "OK"),
        ({"compiled": boot_facts.Compiled("/opt/x", "", "box", 256, True, ())}, "user", "FAIL"),
        ({"no_new_privileges": False}, "hardening", "WARN"),
        ({"seccomp": "disabled"}, "hardening", "WARN"),
        ({"root_read_only": False}, "root", "WARN"),
        (
            {"place": dataclasses.replace(PLACE, problem="its mode 0777 lets group or others write")},
            "run directory",
            "FAIL",
        ),
        ({"place": dataclasses.replace(PLACE, read_only=True)}, "run directory", "FAIL"),
        ({"place": dataclasses.replace(PLACE, free_bytes=1000)}, "run directory", "FAIL"),
        ({"place": dataclasses.replace(PLACE, filesystem="ext4")}, "run directory", "WARN"),
        ({"cgroups": "hybrid", "in_container": False}, "cgroups", "WARN"),
        ({"cgroups": "none"}, "cgroups", "WARN"),
        ({"memory_limit": 1 << 20}, "memory", "WARN"),
        ({"memory_used": (1 << 30) - 1}, "memory", "WARN"),
        ({"memory_limit": None}, "memory", "OK"),
        ({"pids_limit": 20}, "processes", "WARN"),
        ({"descriptors_hard": 100}, "descriptors", "FAIL"),
        ({"descriptors_hard": -1, "descriptors_soft": -1}, "descriptors", "OK"),
        ({"clock": 0.0}, "clock", "WARN"),
        ({"libraries_missing": ("aiohttp",)}, "python", "FAIL"),
        ({"engines": {"crun": "1.8"}, "cgroups": "hybrid", "in_container": False}, "crun", "WARN"),
        ({"engines": {"crun": "1.8", "runc": "1.1"}, "cgroups": "hybrid"}, "crun", "OK"),
        ({"in_container": False}, "engine", "WARN"),
        ({"compiled": None}, "plan", "WARN"),
        ({"compiled": boot_facts.Compiled("/opt/x", "it is empty", "", 0, False, ())}, "plan", "FAIL"),
        ({"compiled": boot_facts.Compiled("/opt/x", "", "box", 9, False, ("0.0.0.0:80: taken",))}, "port", "FAIL"),
        ({"compiled": boot_facts.Compiled("/opt/x", "", "box", 5000, False, ())}, "descriptors", "FAIL"),
        ({"booted": dataclasses.replace(BOOTED, problem="the plan changed")}, "boot", "FAIL"),
        ({"booted": dataclasses.replace(BOOTED, stopped=True)}, "boot", "FAIL"),
        ({"booted": dataclasses.replace(BOOTED, doors=(boot_facts.Door("x", "/x", "refused"),))}, "socket", "FAIL"),
    ],
)
def test_each_thing_that_lacks_is_named_at_its_level(changes, what, level):
    assert levels(**changes)[what] == level


def test_every_complaint_says_what_to_do():
    bad = dataclasses.replace(
        GOOD, landlock=None, has_pidfd=False, uid=0, capabilities=1 << 3, no_new_privileges=None, root_read_only=False, cgroups="v1",
        in_container=False, memory_limit=1, pids_limit=1, descriptors_hard=1, clock=0.0, libraries_missing=("rich",), compiled=None,
        place=dataclasses.replace(PLACE, problem="bad"), booted=dataclasses.replace(BOOTED, problem="gone"),
    )  # fmt: skip
    for container in (True, False):
        for one in diagnosis.judge(dataclasses.replace(bad, in_container=container)):
            assert (one.level == diagnosis.OK) == (one.do == ""), one


def test_looking_here_gives_facts_and_changes_nothing(tmp_path):
    before = sorted(os.listdir(tmp_path))
    facts = machine.collect(rundir.RunDirectory(f"{tmp_path}/none/run"), None)
    assert sorted(os.listdir(tmp_path)) == before
    assert facts.kernel and facts.python and not facts.libraries_missing
    assert not facts.place.exists and facts.booted is None
    assert diagnosis.judge(facts)


def test_a_plan_is_judged_with_its_ports(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        files.write_atomically(
            f"{tmp_path}/{plan.PLAN_FILE}", plan.dump(boots.make_plan(probes=boots.listening(port=port))), 0o644
        )
        found = boot_facts.compiled(str(tmp_path), None)
        assert found.problem == "" and found.taken[0].startswith(f"127.0.0.1:{port}: ")
    assert boot_facts.compiled(str(tmp_path), None).taken == ()
    files.write_atomically(f"{tmp_path}/{plan.PLAN_FILE}", b"{}", 0o644)
    assert boot_facts.compiled(str(tmp_path), None).problem
    assert boot_facts.compiled(f"{tmp_path}/none", None).problem


def test_a_boot_is_judged_by_its_claim_its_plan_and_its_sockets(tmp_path):
    os.mkdir(f"{tmp_path}/run")
    run = rundir.RunDirectory(f"{tmp_path}/run")
    assert boot_facts.booted(run) is None
    rundir.claim(run)
    found = boot_facts.booted(run)
    assert found.pid1 == os.getpid() and "Stage A works" in found.problem
    assert {door.answer for door in found.doors} == {"No such file or directory"}
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(run.probes_socket)
        assert "refused" in boot_facts.booted(run).doors[2].answer


def test_a_door_that_opens_and_behind_which_nobody_answers_is_told(tmp_path, monkeypatch):
    """The kernel lets callers in while the process behind it is stopped."""
    monkeypatch.setattr(boot_facts, "_ASK_SECONDS", 0.05)
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    with socket.socket(socket.AF_UNIX) as pid1, socket.socket(socket.AF_UNIX) as probes:
        for door, path in ((pid1, run.supervisor_socket), (probes, run.probes_socket)):
            door.bind(path)
            door.listen()
        told = [door.answer for door in boot_facts.booted(run).doors]
    assert told == ["no answer within 0.05 s", "No such file or directory", "no answer within 0.05 s"]


def test_where_a_boot_lives_the_run_directory_is_judged_for_it_and_not_for_who_asks(tmp_path):
    status = os.stat(tmp_path)
    theirs = dataclasses.replace(BOOTED, uid=status.st_uid)
    path = str(tmp_path)
    other = os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))
    assert machine._unusable(path, path, status, theirs) == ""
    assert machine._unusable(path, path, other, dataclasses.replace(theirs, uid=status.st_uid + 1)) == ""
    assert f"the boot there is uid {status.st_uid}" in machine._unusable(path, path, other, theirs)
    assert "this process is uid" in machine._unusable(path, path, other, None)


def test_the_uid_of_a_boot_is_its_process_s(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    assert boot_facts.booted(run).uid == os.geteuid()


@pytest.mark.parametrize(
    ("script", "told", "broken"),
    [
        ("echo podman version 5", "podman version 5", None),
        ("echo 'level=error msg=no' >&2; exit 125", None, "exit code 125: level=error msg=no"),
        ("echo half; exit 1", None, "exit code 1"),
        ("echo 'level=error' >&2", None, "exit code 0: level=error"),
    ],
)
def test_an_engine_that_fails_is_no_engine_with_an_odd_version(tmp_path, monkeypatch, script, told, broken):
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\n{script}\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    found, failed = machine._engines()
    assert (found.get("podman"), failed.get("podman")) == (told, broken)
    assert levels(engines=found, engines_broken=failed, in_container=False)["podman"] == ("OK" if told else "WARN")


def test_a_client_is_told_as_a_client():
    found = diagnosis.judge(dataclasses.replace(GOOD, engines={"docker": "Docker version 29", "podman": "podman 4"}))
    told = {one.what: one.found for one in found}
    assert told["docker"] == "Docker version 29: client only; its daemon was not asked"
    assert told["podman"] == "podman 4"


@pytest.mark.parametrize("changes", [{"problem": "bad"}, {"read_only": True}, {"filesystem": "ext4"}])
def test_a_tmpfs_at_run_is_advised_for_what_is_below_it_alone(changes):
    for path in ("/run/bootseal", "/srv/run"):
        place = dataclasses.replace(PLACE, path=path, **changes)
        [one] = [one for one in diagnosis.judge(dataclasses.replace(GOOD, place=place)) if one.what == "run directory"]
        assert ("--tmpfs /run:U" in one.do) == (path == "/run/bootseal")
