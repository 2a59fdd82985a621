import contextlib
import os
import shutil
import stat
import struct
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoint import access
from tests.unit import children, rights

NOBODY = access.Process(children.NOBODY, frozenset({children.NOBODY}))
US, OTHER_UID, GROUP, OTHER_GROUP = 4001, 4002, 5001, 5002
CAPABILITIES = (access.CAP_CHOWN, access.CAP_DAC_OVERRIDE, access.CAP_FOWNER)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of several users are made by root")


def pack(entries: tuple[access.Entry, ...]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", e.tag, e.permission, e.id) for e in entries)


def a_file(mode: int, uid: int = 0, gid: int = 0, **more) -> access.File:
    return access.File(stat.S_IFREG | mode, uid, gid, **more)


def a_directory(mode: int, uid: int = 0, gid: int = 0, **more) -> access.File:
    return access.File(stat.S_IFDIR | mode, uid, gid, **more)


def a_process(uid: int = 1000, groups=frozenset({1000, 50}), *capabilities: int) -> access.Process:
    return access.Process(uid, groups, sum(1 << capability for capability in capabilities))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "reason"),
    [
        (0o755, 0, 0, None),
        (0o444, 1000, 0, "it is owned by this process's uid 1000"),
        (0o775, 0, 50, "its mode 0775 lets group 50 write"),
        (0o755, 0, 50, None),
        (0o707, 0, 50, None),
        (0o775, 0, 99, None),
        (0o757, 0, 99, "its mode 0757 lets everybody write"),
        (0o1777, 0, 0, "its mode 1777 lets everybody write"),
    ],
)
def test_what_mode_and_owner_allow(mode, owner, group, reason):
    assert access.judge(a_file(mode, owner, group), a_process()) == reason


def test_a_directory_that_may_not_be_searched_is_not_written_into():
    assert access.judge(a_directory(0o752), a_process()) is None
    assert access.judge(a_directory(0o753), a_process()) == "its mode 0753 lets everybody write"
    assert access.judge(a_file(0o752), a_process()) == "its mode 0752 lets everybody write"


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        (access.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
        (access.CAP_FOWNER, "CAP_FOWNER, which can change its mode"),
        (access.CAP_CHOWN, "CAP_CHOWN, which can change its owner"),
    ],
)
def test_a_capability_writes_what_no_mode_allows_and_root_without_one_is_a_user_like_any(capability, words):
    assert words in access.judge(a_file(0o444, 7, 7), a_process(1000, frozenset(), capability))
    assert access.judge(a_file(0o644, 7, 7), a_process(0, frozenset({0}))) is None


def test_the_immutable_attribute_holds_even_the_owner_until_a_capability_takes_it_away():
    file = a_file(0o666, 1000, has_immutable_attribute=True)
    assert access.judge(file, a_process()) is None
    assert access.judge(file, a_process(1000, frozenset(), access.CAP_DAC_OVERRIDE)) is None
    assert "take its immutable attribute away" in access.judge(
        file, a_process(1000, frozenset(), access.CAP_LINUX_IMMUTABLE)
    )
    assert access.judge(file, a_process(1001, frozenset(), access.CAP_LINUX_IMMUTABLE)) is None


@pytest.mark.parametrize(
    ("directory", "entry", "capabilities", "can"),
    [
        (a_directory(0o755), a_directory(0o777), (), False),
        (a_directory(0o777), a_directory(0o755), (), True),
        (a_directory(0o1777), a_directory(0o777), (), False),
        (a_directory(0o1777), a_directory(0o755, 1000), (), True),
        (a_directory(0o1755, 1000), a_directory(0o755), (), True),
        (a_directory(0o1777), a_directory(0o777), (access.CAP_FOWNER,), True),
        (a_directory(0o1777), a_directory(0o777), (access.CAP_CHOWN,), True),
        (a_directory(0o1777), a_directory(0o777), (access.CAP_DAC_OVERRIDE,), False),
        (a_directory(0o777), a_directory(0o755, has_immutable_attribute=True), (), False),
    ],
)
def test_who_can_rename_an_entry_away(directory, entry, capabilities, can):
    process = a_process(1000, frozenset(), *capabilities)
    assert (access.judge_removal(directory, entry, process) is not None) is can


def an_acl(*entries: tuple[int, int, int], group: int = 0, mask: int = 7, others: int = 0) -> tuple[access.Entry, ...]:
    return (
        access.Entry(access.USER_OBJ, 7, -1),
        *(access.Entry(*entry) for entry in entries if entry[0] == access.USER),
        access.Entry(access.GROUP_OBJ, group, -1),
        *(access.Entry(*entry) for entry in entries if entry[0] == access.GROUP),
        access.Entry(access.MASK, mask, -1),
        access.Entry(access.OTHER, others, -1),
    )


@pytest.mark.parametrize(
    ("acl", "reason"),
    [
        (an_acl((access.USER, 6, 1000)), "its ACL lets uid 1000 write"),
        (an_acl((access.USER, 6, 1000), mask=4), None),
        (an_acl((access.USER, 4, 1000), others=7), None),
        (an_acl((access.USER, 7, 1001), others=6), "its ACL lets everybody write"),
        (an_acl((access.GROUP, 6, 50)), "its ACL lets group 50 write"),
        (an_acl((access.GROUP, 6, 50), mask=5), None),
        (an_acl((access.GROUP, 4, 1000), (access.GROUP, 2, 50)), "its ACL lets group 50 write"),
        (an_acl((access.GROUP, 4, 50), others=7), None),
        (an_acl(group=6, others=0), None),
    ],
)
def test_what_an_acl_allows(acl, reason):
    """The mode's group bits are the mask, which must not be empty for the ACL to be read at all."""
    assert access.grants(a_file(0o674, 0, 99, acl=acl), a_process()) == reason


def test_an_acl_with_an_empty_mask_is_not_read_and_the_others_bits_count():
    acl = an_acl((access.USER, 7, 1000), mask=0, others=2)
    assert access.grants(a_file(0o602, 0, 99, acl=acl), a_process()) == "its mode 0602 lets everybody write"


@pytest.mark.parametrize(
    "data", [b"", b"\2", b"\1\0\0\0", b"\2\0\0\0\1", b"\2\0\0\0" + bytes(8), b"\2\0\0\0" + bytes(7)]
)
def test_what_is_no_acl_is_refused(data):
    with pytest.raises(ValueError, match="POSIX ACL"):
        access.parse_acl(data)


permissions = st.integers(0, 7)
acls = st.builds(
    lambda owner, users, group, groups, mask, others: (
        access.Entry(access.USER_OBJ, owner, 0xFFFFFFFF),
        *(access.Entry(access.USER, bits, uid) for uid, bits in sorted(users.items())),
        access.Entry(access.GROUP_OBJ, group, 0xFFFFFFFF),
        *(access.Entry(access.GROUP, bits, gid) for gid, bits in sorted(groups.items())),
        access.Entry(access.MASK, mask, 0xFFFFFFFF),
        access.Entry(access.OTHER, others, 0xFFFFFFFF),
    ),
    permissions,
    st.dictionaries(st.sampled_from([US, OTHER_UID]), permissions),
    permissions,
    st.dictionaries(st.sampled_from([GROUP, OTHER_GROUP]), permissions),
    permissions,
    permissions,
)


@given(acls)
def test_an_acl_is_read_back_as_it_was_written(entries):
    assert access.parse_acl(pack(entries)) == entries


class Case:
    """A file or directory as the kernel has it, and a child process of other rights."""

    def __init__(self, path: str, is_directory: bool, mode: int, uid: int, gid: int, acl) -> None:
        self.path = path
        if is_directory:
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        if acl:
            os.setxattr(path, "system.posix_acl_access", pack(acl))
        status = os.stat(path)
        found = access.parse_acl(os.getxattr(path, "system.posix_acl_access")) if acl else ()
        self.file = access.File(status.st_mode, status.st_uid, status.st_gid, found)

    def can_write(self) -> bool:
        with contextlib.suppress(PermissionError):
            if not self.file.is_directory:
                os.close(os.open(self.path, os.O_WRONLY))
                return True
            made = f"{self.path}/made"
            os.mkdir(made)
            os.rmdir(made)
            return True
        return False

    def can_write_in_the_end(self) -> bool:
        if self.can_write():
            return True
        with contextlib.suppress(PermissionError):
            os.chown(self.path, os.geteuid(), -1)
        with contextlib.suppress(PermissionError):
            if self.file.acl:
                os.removexattr(self.path, "system.posix_acl_access")
            os.chmod(self.path, 0o777)
        return self.can_write()


def as_process(process: access.Process, work) -> bool:
    code = rights.run_as(process.uid, process.groups, process.capabilities, work)
    assert code in {0, 1}
    return code == 0


@needs_root
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    is_directory=st.booleans(),
    mode=st.integers(0, 0o777),
    uid=st.sampled_from([0, US, OTHER_UID]),
    gid=st.sampled_from([0, GROUP, OTHER_GROUP]),
    acl=st.one_of(st.none(), acls),
    groups=st.sets(st.sampled_from([GROUP, OTHER_GROUP, 5003]), min_size=1).map(frozenset),
    is_root=st.booleans(),
    capabilities=st.one_of(st.just(frozenset()), st.sets(st.sampled_from(CAPABILITIES))),
)
def test_the_verdict_is_what_the_kernel_lets_such_a_process_do(
    is_directory, mode, uid, gid, acl, groups, is_root, capabilities
):
    process = access.Process(0 if is_root else US, groups, sum(1 << capability for capability in capabilities))
    folder = tempfile.mkdtemp(prefix="access-")
    try:
        os.chmod(folder, 0o755)
        case = Case(f"{folder}/it", is_directory, mode, uid, gid, acl)
        assert as_process(process, case.can_write) is (access.grants(case.file, process) is not None)
        assert as_process(process, case.can_write_in_the_end) is (access.judge(case.file, process) is not None)
    finally:
        shutil.rmtree(folder)
