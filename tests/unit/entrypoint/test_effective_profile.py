"""What is read back of a process: every fact follows the process, and what cannot be read is None."""

import os
import resource

import pytest

from contract import attested, dumpable, prctl
from entrypoint import effective_profile, mounts
from tests.unit import children, rights

NET_RAW, CHOWN = 13, 0
_NO_NEW_PRIVS = 38


def read(paths=(), devices=(), table=()) -> attested.Profile:
    return effective_profile.read(paths, devices, table)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_user_groups_and_capabilities_are_those_of_the_process():
    def work() -> bool:
        found = read()
        assert (found.uid, found.gid, set(found.groups)) == (4321, 7, {8})
        assert found.capabilities["effective"] == ("CHOWN", "NET_RAW")
        return True

    assert rights.run_as(4321, (7, 8), 1 << NET_RAW | 1 << CHOWN, work) == 0


def test_limits_privileges_and_umask_are_those_of_the_process():
    def work() -> bool:
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, 777))
        before = read()
        assert prctl.call(_NO_NEW_PRIVS, 1) == 0
        after = read()
        assert (before.files, before.umask) == (777, "0027")
        assert (before.no_new_privileges, after.no_new_privileges) == (inherited, True)
        return True

    inherited = read().no_new_privileges
    assert children.run(work) == 0


def test_a_process_that_is_not_dumpable_reads_the_same_of_itself():
    def work() -> bool:
        before = read(table=mounts.read())
        dumpable.forbid()
        return read(table=mounts.read()) == before

    assert children.run_as_nobody(work) == 0


def test_nothing_is_unread_on_a_machine_with_proc():
    found = read(["/"], ["/dev/null", "/dev/none"], mounts.read())
    assert found.capabilities and found.seccomp and found.no_new_privileges is not None and found.uid_map
    assert found.root_read_only == bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    assert found.devices == ("/dev/null",)
    assert set(found.namespaces) == {"pid", "ipc", "uts", "user", "cgroup", "network"}


def test_without_proc_nothing_is_claimed(monkeypatch):
    def absent(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(effective_profile, "_text", absent)
    monkeypatch.setattr(os, "readlink", lambda path: absent(path))
    monkeypatch.setattr(os, "statvfs", lambda path: absent(path))
    found = read(["/run"], (), (mounts.Mount("/run", "tmpfs", False),))
    assert found.capabilities == {}
    assert [found.no_new_privileges, found.seccomp, found.seccomp_filters, found.root_read_only] == [None] * 4
    assert [found.uid_map, found.gid_map, found.umask, found.memory_bytes, found.pids, found.cpus] == [None] * 6
    assert set(found.namespaces.values()) == {None}
    assert found.mounts[0].size_bytes is None


def test_capabilities_are_named_by_their_numbers_and_all_sets_are_read_or_none():
    status = {"CapEff": "2000", "CapPrm": "0", "CapInh": "1", "CapBnd": "1ffffffffff", "CapAmb": "40000000000"}
    found = effective_profile.capabilities(status)
    assert (found["effective"], found["permitted"], found["inheritable"]) == (("NET_RAW",), (), ("CHOWN",))
    assert found["bounding"] == effective_profile.CAPABILITIES
    assert found["ambient"] == ("#42",), "one that this version does not know is told by its number"
    assert effective_profile.capabilities({**status, "CapBnd": "x"}) == {}
    assert effective_profile.capabilities({"CapEff": "0"}) == {}


@pytest.mark.parametrize(
    ("name", "inode", "release", "told"),
    [
        ("pid", 4026531836, "5.10.0", "host"), ("pid", 4026532180, "5.10.0", "own"), ("network", 4026531833, "6.18.44-x", "host"),
        ("network", 4026532181, "6.18.44-x", "own"), ("network", 4026532181, "7.0", "own"), ("network", 4026531840, "6.17.9", None),
        ("network", 4026532181, "odd", None),
    ],
)  # fmt: skip
def test_a_namespace_is_the_machines_its_own_or_cannot_be_told(name, inode, release, told):
    assert effective_profile.namespace(name, inode, release) == told


def test_planned_mounts_are_found_by_path_and_what_can_be_written_beyond_them_is_listed(tmp_path):
    (tmp_path / "link").symlink_to("/")
    flags = frozenset({"rw", "nosuid", "noexec", "size=64k"})
    table = (
        mounts.Mount("/", "overlay", True), mounts.Mount("/run", "tmpfs", False, options=flags), mounts.Mount("/data", "ext4", False),
        mounts.Mount("/opt/plan", "ext4", True), mounts.Mount("/proc", "proc", False), mounts.Mount("/dev/shm", "tmpfs", False),
        mounts.Mount("/etc/hosts", "ext4", False), mounts.Mount("/sys/fs/cgroup", "cgroup2", False), mounts.Mount("/ho\nst", "ext4", False),
    )  # fmt: skip
    found = read(["/run", "/absent"], (), table).mounts
    assert [(one.path, one.kind, one.options) for one in found] == [
        ("/run", "tmpfs", ("nosuid", "noexec")), ("/data", "ext4", ()), ("/ho\\nst", "ext4", ()),
    ]  # fmt: skip
    planned, *_ = read(["/dev/shm"], (), table).mounts
    assert planned.path == "/dev/shm", "what is planned is no longer the engine's"


def test_a_symlink_to_a_mount_leads_to_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    [found] = read([f"{tmp_path}/link"], (), (mounts.Mount(f"{tmp_path}/real", "tmpfs", False),)).mounts
    assert found.path == f"{tmp_path}/link"
    assert found.size_bytes


def test_a_container_with_a_thousand_mounts_lists_some():
    table = tuple(mounts.Mount(f"/m{number}", "ext4", False) for number in range(1000))
    assert len(read((), (), table).mounts) == 20


@pytest.mark.parametrize(
    ("option", "size_bytes"), [("size=65536k", 64 * 2**20), ("size=x", None), ("size=k", None), ("mode=755", None)]
)
def test_a_file_system_that_nobody_may_ask_is_as_large_as_its_options_say(monkeypatch, option, size_bytes):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "statvfs", refuse)
    inner = mounts.Mount("/run/app/inner", "tmpfs", read_only=False, options=frozenset({"rw", "nosuid", option}))
    [found] = effective_profile.read(["/run/app/inner"], [], [inner]).mounts
    assert (found.path, found.size_bytes) == ("/run/app/inner", size_bytes)


def test_only_groups_that_are_names_are_looked_up_and_one_that_is_absent_has_no_number():
    assert effective_profile.group_numbers(("root", "44", "no-such-group")) == {"root": 0}
