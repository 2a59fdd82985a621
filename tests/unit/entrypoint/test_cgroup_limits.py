"""The limits of control groups in every shape that a container may see them in."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import attested
from entrypoint import cgroup_limits, mounts

UNLIMITED = attested.UNLIMITED
V1_NONE = "9223372036854771712\n"


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """Lay out control groups as a container would see them, and read their limits."""

    def look(groups: str, points: dict[str, tuple[str, str]], files: dict[str, str]) -> dict[str, float | None]:
        """``points``: by mount point its file system or controllers, and the directory that it shows."""
        (tmp_path / "cgroup").write_text(groups)
        monkeypatch.setattr(cgroup_limits, "CGROUP", f"{tmp_path}/cgroup")
        for path, text in files.items():
            os.makedirs(os.path.dirname(f"{tmp_path}{path}"), exist_ok=True)
            (tmp_path / path.lstrip("/")).write_text(text)
        table = tuple(
            mounts.Mount(f"{tmp_path}{point}", "cgroup2" if kind == "cgroup2" else "cgroup", True, root=root, options=frozenset({"rw", *kind.split(",")}))
            for point, (kind, root) in points.items()
        )  # fmt: skip
        return cgroup_limits.read(table)

    return look


V2 = {"/sys": ("cgroup2", "/")}


def test_version_2_in_a_namespace_of_its_own(seen):
    files = {"/sys/memory.max": "1073741824\n", "/sys/pids.max": "100\n", "/sys/cpu.max": "150000 100000\n"}
    assert seen("0::/\n", V2, files) == {"memory": 2**30, "pids": 100, "cpus": 1.5}


def test_no_limit_is_not_the_same_as_one_that_cannot_be_read(seen):
    files = {"/sys/memory.max": "max\n", "/sys/pids.max": "max\n", "/sys/cpu.max": "max 100000\n"}
    assert seen("0::/\n", V2, files) == {"memory": UNLIMITED, "pids": UNLIMITED, "cpus": UNLIMITED}
    nothing = {"memory": None, "pids": None, "cpus": None}
    assert seen("0::/elsewhere\n", {"/none": ("cgroup2", "/")}, {}) == nothing
    assert seen("0::/\n", {}, {}) == nothing
    assert seen("", V2, {}) == nothing


def test_a_smaller_limit_above_counts_and_a_larger_one_does_not(seen):
    files = {
        "/sys/memory.max": "5000\n", "/sys/pod/memory.max": "3000\n", "/sys/pod/box/memory.max": "4000\n",
        "/sys/pod/box/pids.max": "7\n", "/sys/pod/pids.max": "max\n",
    }  # fmt: skip
    found = seen("0::/pod/box\n", V2, files)
    assert (found["memory"], found["pids"], found["cpus"]) == (3000, 7, None)


def test_version_2_in_the_machines_namespace_of_which_only_the_own_group_is_mounted(seen):
    points = {"/sys": ("cgroup2", "/machine/box")}
    assert seen("0::/machine/box\n", points, {"/sys/memory.max": "64\n"})["memory"] == 64
    assert seen("0::/machine/box/init\n", points, {"/sys/init/memory.max": "32\n"})["memory"] == 32


@pytest.mark.parametrize("groups", ["0::/machine/boxer\n", "0::/other\n", "0::/machine\n", "0::/../other\n"])
def test_a_group_beyond_what_is_mounted_is_unknown(seen, groups):
    assert seen(groups, {"/sys": ("cgroup2", "/machine/box")}, {"/sys/memory.max": "64\n"})["memory"] is None


V1 = {"/sys/memory": ("memory", "/box"), "/sys/pids": ("pids", "/box"), "/sys/cpu,cpuacct": ("cpu,cpuacct", "/box")}
V1_GROUPS = "9:name=systemd:/box\n8:pids:/box\n4:memory:/box\n1:cpu,cpuacct:/box\n"


def test_version_1_each_controller_in_its_own_hierarchy(seen):
    files = {
        "/sys/memory/memory.limit_in_bytes": "268435456\n", "/sys/pids/pids.max": "300\n",
        "/sys/cpu,cpuacct/cpu.cfs_quota_us": "150000\n", "/sys/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }  # fmt: skip
    assert seen(V1_GROUPS, V1, files) == {"memory": 2**28, "pids": 300, "cpus": 1.5}


def test_version_1_without_limits(seen):
    files = {
        "/sys/memory/memory.limit_in_bytes": V1_NONE, "/sys/pids/pids.max": "max\n",
        "/sys/cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "/sys/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }  # fmt: skip
    assert seen(V1_GROUPS, V1, files) == {"memory": UNLIMITED, "pids": UNLIMITED, "cpus": UNLIMITED}


def test_on_a_hybrid_machine_the_version_that_holds_a_controller_is_asked(seen):
    points = {"/sys/unified": ("cgroup2", "/"), "/sys/memory": ("memory", "/box")}
    files = {
        "/sys/unified/memory.max": "1\n",
        "/sys/unified/pids.max": "9\n",
        "/sys/memory/memory.limit_in_bytes": "64\n",
    }
    found = seen("4:memory:/box\n0::/\n", points, files)
    assert (found["memory"], found["pids"]) == (64, 9)
    assert seen("4:memory:/box\n0::/\n", {"/sys/unified": ("cgroup2", "/")}, files)["memory"] is None


@pytest.mark.parametrize("text", ["", "\n", "-5\n", "12x\n", "1e9\n", "٣\n", "9" * 40, "max max\n", "\x00"])
def test_what_is_no_number_is_no_limit_that_anybody_read(seen, text):
    files = {"/sys/memory.max": text, "/sys/pids.max": text, "/sys/cpu.max": f"{text.strip()} 0\n"}
    assert seen("0::/\n", V2, files) == {"memory": None, "pids": None, "cpus": None}


@given(st.text(max_size=300))
def test_any_text_in_place_of_the_groups_is_read_without_a_fault(text):
    for controller, path in cgroup_limits.parse(text).items():
        assert path.startswith("/") and ":" not in controller


def test_the_machine_that_the_tests_run_on_is_read_without_a_fault():
    for value in cgroup_limits.read(mounts.read()).values():
        assert value is None or value == UNLIMITED or value > 0


def test_more_memory_than_a_seal_can_say_is_no_limit(seen):
    assert seen("0::/\n", V2, {"/sys/memory.max": f"{2**53}\n"})["memory"] == UNLIMITED
    assert seen("0::/\n", V2, {"/sys/memory.max": f"{2**53 - 4096}\n"})["memory"] == 2**53 - 4096
