import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors
from entrypoint import privileges
from manifest import plan, provisions
from tests.unit import boots

ALL = ((0, 4294967294),)
NEEDED = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7
ROOT = privileges.Process(uid=0, gid=0, capabilities=NEEDED, uids=ALL, gids=ALL, may_set_groups=True)


def with_users(*users: provisions.User, owner: provisions.User | None = None) -> plan.Plan:
    programs = [boots.program(f"p{index}", user=user) for index, user in enumerate(users)]
    root = plan.WritableRoot("/run/his", 0o755, None, mount_required=False, owner=owner)
    return boots.make_plan(
        *programs,
        exceptions=(provisions.ExceptionPlan(provisions.PROGRAM_USERS, "a reason"),),
        boot=boots.boot_plan(writable=(root,)),
    )


PLAN = with_users(provisions.User(2001, 2002), owner=provisions.User(2003, 2004))


def lacking(**changes) -> str:
    return str(privileges.lacking(PLAN, dataclasses.replace(ROOT, **changes)))


def test_root_with_the_four_capabilities_is_enough():
    assert privileges.lacking(PLAN, ROOT) is None
    assert privileges.needless(ROOT) == []


@pytest.mark.parametrize(("ids", "who"), [({"uid": 1000}, "1000:0"), ({"gid": 7}, "0:7")])
def test_who_is_not_root_is_told_the_engines_option(ids, who):
    assert f"this one is {who}" in lacking(**ids)
    assert "--user 0:0" in lacking(**ids)


@given(st.sets(st.sampled_from(sorted(privileges.NEEDED))), st.integers(0, 1 << 41))
def test_each_missing_capability_is_named_and_no_other(missing, more):
    found = NEEDED | more
    for name in missing:
        found &= ~(1 << privileges.NEEDED[name])
    problem = privileges.lacking(PLAN, dataclasses.replace(ROOT, capabilities=found))
    if not missing:
        assert problem is None
        return
    assert problem is not None
    assert {name for name in privileges.NEEDED if f"CAP_{name}" in problem.why} == missing
    assert {name for name in privileges.NEEDED if name in problem.remedy} == missing


def test_a_capability_that_is_not_needed_is_said():
    [warning] = privileges.needless(dataclasses.replace(ROOT, capabilities=NEEDED | 1 << 1 | 1 << 21))
    assert "(numbers 1, 21)" in warning


@pytest.mark.parametrize(
    ("uids", "gids", "words"),
    [
        (((0, 2000),), ALL, "uid 2001 of program p0"),
        (((0, 2002),), ALL, "uid 2003 of writable root /run/his"),
        (ALL, ((0, 0), (2000, 2001)), "gid 2002 of program p0"),
        (ALL, ((0, 2003),), "gid 2004 of writable root /run/his"),
        ((), ALL, "there is none"),
    ],
)
def test_an_id_that_is_not_mapped_is_named(uids, gids, words):
    assert words in lacking(uids=uids, gids=gids)


def test_where_groups_cannot_be_dropped_nothing_begins():
    assert "setgroups(2) is denied" in lacking(may_set_groups=False)


def test_a_map_is_read_as_seen_from_inside():
    assert privileges.parse_map("         0     100000      1000\n      2000  5 1\n") == ((0, 999), (2000, 2000))


@given(
    st.lists(
        st.lists(st.integers(0, 2**32).map(str) | st.text("-x\t1", max_size=3), min_size=1, max_size=5), max_size=4
    )
)
def test_a_map_has_a_range_for_each_line_or_is_refused(rows):
    text = "".join(f"{' '.join(row)}\n" for row in rows)
    words = [line.split() for line in text.splitlines()]
    if all(len(line) == 3 and all(word.isdecimal() for word in line) for line in words):
        assert [first for first, _ in privileges.parse_map(text)] == [int(line[0]) for line in words]
    elif any(len(line) != 3 for line in words):
        with pytest.raises(ValueError, match=r"unpack|invalid literal"):
            privileges.parse_map(text)


def test_without_the_exception_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(privileges, "read", lambda: pytest.fail("it is not asked for"))
    assert privileges.check(boots.make_plan(), "/run/bootseal") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the machine's own root is looked at")
def test_this_process_is_read_as_the_kernel_shows_it():
    found = privileges.read()
    assert (found.uid, found.gid, found.may_set_groups) == (0, 0, True)
    assert found.capabilities & NEEDED == NEEDED
    assert found.uids[0][0] == 0


@pytest.fixture
def above(tmp_path):
    """A directory of root's above a run directory, reachable and safe up to the root."""
    made = tmp_path / "above"
    made.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    return made


@pytest.mark.skipif(os.geteuid() != 0, reason="directories must be root's")
def test_directories_of_root_that_all_may_search_are_right(above):
    privileges.check_above(f"{above}/run")
    above.chmod(0o1777)
    privileges.check_above(f"{above}/run")


@pytest.mark.skipif(os.geteuid() != 0, reason="directories must be root's")
@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o700, "programs cannot reach it"),
        (0o754, "programs cannot reach it"),
        (0o775, "others can replace what is in it"),
        (0o757, "others can replace what is in it"),
        (0o777, "others can replace what is in it"),
    ],
)
def test_a_directory_above_that_is_not_safe_or_not_reachable_is_named(above, mode, words):
    above.chmod(mode)
    with pytest.raises(errors.UnsafePath, match=words) as caught:
        privileges.check_above(f"{above}/run")
    assert f"{above} has mode {mode:04o}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give it away")
def test_a_directory_above_that_is_somebody_elses_is_named(above):
    os.chown(above, 2001, 2001)
    with pytest.raises(errors.UnsafePath, match="belongs to uid 2001"):
        privileges.check_above(f"{above}/run")
