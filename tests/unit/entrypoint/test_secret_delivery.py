"""The directory of secrets: modes, owners, and what an earlier boot or somebody hostile left there."""

import os
import stat

import pytest

from contract import errors, rundir
from entrypoint import mounts, secret_delivery
from manifest import provisions
from supervisord import credentials
from tests.unit import boots, children, hardened

HELD = provisions.ExceptionPlan(provisions.PROGRAM_USERS, "why")
A, B = boots.program("a"), boots.program("b")


@pytest.fixture
def run(tmp_path):
    return rundir.open_or_create(f"{tmp_path}/run")


def deliver(run, *secrets, programs=(A, B), **changes):
    the_plan = boots.make_plan(*programs, secrets=secrets, run_directory=run.path, **changes)
    return secret_delivery.deliver(the_plan, run, {}, ())


def modes(run) -> dict[str, str]:
    found = {"": f"{stat.S_IMODE(os.lstat(run.secrets).st_mode):04o}"}
    for folder, folders, names in os.walk(run.secrets):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, run.secrets)] = f"{stat.S_IMODE(os.lstat(path).st_mode):04o}"
    return found


def test_each_program_gets_its_own_as_0400_files_in_directories_that_only_we_enter(run):
    os.umask(os.umask(0))
    values = deliver(run, boots.secret("one", "a", "b"), boots.secret("two", "b"))
    assert modes(run) == {
        "": "0700", ".values": "0700", ".values/one": "0400", ".values/two": "0400",
        "a": "0700", "a/one": "0400", "b": "0700", "b/one": "0400", "b/two": "0400",
    }  # fmt: skip
    for path in ("a/one", "b/one", ".values/one"):
        with open(f"{run.secrets}/{path}", "rb") as file:
            assert file.read() == values["one"]


def test_the_token_of_detail_is_the_probe_servers_file(run):
    values = deliver(run, boots.secret("token", "probes"), boots.secret("one", "a"))
    assert {place: mode for place, mode in modes(run).items() if place.startswith("probes")} == {
        "probes": "0700", "probes/token": "0400",
    }  # fmt: skip
    with open(f"{run.secrets_of('probes')}/token", "rb") as file:
        assert file.read() == values["token"]


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_umask_changes_nothing(run, umask):
    before = os.umask(umask)
    try:
        deliver(run, boots.secret("one", "a"))
    finally:
        os.umask(before)
    assert (modes(run)[""], modes(run)["a"], modes(run)["a/one"]) == ("0700", "0700", "0400")


def test_a_secret_of_nobody_is_returned_and_never_written(run):
    values = deliver(run, boots.secret("seed"))
    assert len(values["seed"]) == 64
    assert not os.path.exists(run.secrets)


def test_what_an_earlier_boot_left_is_gone(run):
    deliver(run, boots.secret("one", "a"), boots.secret("two", "b"))
    deliver(run, boots.secret("three", "b"))
    assert set(modes(run)) == {"", ".values", ".values/three", "b", "b/three"}
    deliver(run)
    assert not os.path.lexists(run.secrets)


@pytest.mark.parametrize("place", ["", "a", "a/one", "b", ".values"])
def test_a_planted_symlink_is_removed_and_never_followed(run, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "one").write_text("keep")
    path = f"{run.secrets}/{place}".rstrip("/")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(outside, path)
    deliver(run, boots.secret("one", "a"))
    assert (outside / "one").read_text() == "keep"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert os.listdir(outside) == ["one"]
    assert modes(run)["a/one"] == "0400"


def test_fifos_sockets_links_and_directories_without_rights_are_removed(run, tmp_path):
    (tmp_path / "kept").write_text("keep")
    os.makedirs(f"{run.secrets}/a/deep/er")
    os.mkfifo(f"{run.secrets}/a/fifo")
    os.link(tmp_path / "kept", f"{run.secrets}/a/one")
    os.chmod(f"{run.secrets}/a/deep", 0)
    os.chmod(f"{run.secrets}/a", 0)
    deliver(run, boots.secret("one", "a"))
    assert (tmp_path / "kept").read_text() == "keep"
    assert set(modes(run)) == {"", ".values", ".values/one", "a", "a/one"}


def test_directories_deeper_than_any_recursion_are_removed(run):
    deep = 3000
    os.makedirs(run.secrets)
    here = os.open(run.secrets, os.O_RDONLY)
    for _ in range(deep):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    deliver(run)
    assert not os.path.lexists(run.secrets)


def test_a_directory_that_is_not_ours_is_refused(run):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.mkdir(run.secrets)
    os.chown(run.secrets, 1001, 1001)
    with pytest.raises(errors.UnsafePath, match="owned by uid 1001"):
        deliver(run, boots.secret("one", "a"))


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_delivered(run):
    lost = [boots.secret(name, "a", generate_bytes=None, variable=name.upper()) for name in ("one", "two")]
    with pytest.raises(errors.BootsealError, match=r"2 secrets .*ONE: it is not set.*TWO: it is not set"):
        deliver(run, boots.secret("fine", "a"), *lost)
    assert not os.path.exists(run.secrets)


def test_the_mount_that_holds_the_run_directory_is_no_mount_of_a_secrets_own(run):
    os.mkdir(f"{run.path}/given")
    with open(f"{run.path}/given/s", "w") as file:
        file.write("from the image")
    secret = boots.secret("s", "a", generate_bytes=None, mounted=f"{run.path}/given/s")
    the_plan = boots.make_plan(boots.program("a"), secrets=(secret,))
    above = tuple(mounts.Mount(point, "tmpfs", False) for point in ("/", os.path.dirname(run.path), run.path))
    with pytest.raises(errors.UnsafePath, match="mount of its own"):
        secret_delivery.deliver(the_plan, run, {}, above)
    own = mounts.Mount(f"{run.path}/given", "tmpfs", True)
    assert secret_delivery.deliver(the_plan, run, {}, (*above, own)) == {"s": b"from the image"}


def test_no_link_leads_to_what_an_earlier_boot_delivered(run, tmp_path):
    deliver(run, boots.secret("old", "b"))
    (tmp_path / "token").symlink_to(f"{credentials.values_directory(run)}/old")
    with pytest.raises(errors.BootsealError, match="No such file"):
        deliver(run, boots.secret("mine", "a", generate_bytes=None, file=f"{tmp_path}/token"))


def test_where_programs_have_users_a_file_that_one_could_have_put_there_is_refused(run, tmp_path):
    os.mkdir(f"{tmp_path}/srv")
    with open(f"{tmp_path}/srv/token", "w") as file:
        file.write("value")
    os.chmod(f"{tmp_path}/srv", 0o777)
    mine = boots.secret("mine", "a", generate_bytes=None, file=f"{tmp_path}/srv/token")
    assert deliver(run, mine) == {"mine": b"value"}
    programs = [boots.program(name, user=provisions.User(os.geteuid() + 1, 1)) for name in ("a", "b")]
    with pytest.raises(errors.UnsafePath, match="a program could"):
        deliver(run, mine, programs=programs, exceptions=(HELD,))


def test_a_name_that_is_a_path_leaves_no_file_elsewhere(run):
    with pytest.raises(errors.UnsafePath):
        deliver(run, boots.secret("../../escaped", "a"))


def test_of_a_delivery_names_and_counts_are_told_and_no_value():
    secrets = (boots.secret("one", "a", "b"), boots.secret("two", "b"), boots.secret("seed"))
    the_plan = boots.make_plan(A, B, secrets=secrets)
    assert secret_delivery.summary(the_plan) == {"secrets": ["one", "two", "seed"], "programs": {"a": 1, "b": 2}}


# --- the exception program-users --------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to program users")
USERS = (boots.program("a", user=provisions.User(1001, 2000)), boots.program("b", user=provisions.User(1002, 2000)))


def reads(path: str, user: provisions.User) -> bool:
    """Say whether a process of ``user`` can read ``path``."""

    def work() -> bool:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        try:
            with open(path, "rb") as file:
                return bool(file.read())
        except PermissionError:
            return False

    return children.run(work) == 0


@needs_root
def test_each_program_user_reads_its_own_secrets_and_nobody_elses(run, tmp_path):
    os.chmod(tmp_path, 0o755)
    secrets = (boots.secret("one", "a"), boots.secret("two", "b"))
    deliver(run, *secrets, programs=USERS, exceptions=(HELD,))
    assert modes(run) == {
        "": "0711", ".values": "0700", ".values/one": "0400", ".values/two": "0400",
        "a": "0500", "a/one": "0400", "b": "0500", "b/two": "0400",
    }  # fmt: skip
    owners = {place: os.lstat(f"{run.secrets}/{place}").st_uid for place in modes(run)}
    assert owners == {
        "": 0, ".values": 0, ".values/one": 0, ".values/two": 0, "a": 1001, "a/one": 1001, "b": 1002, "b/two": 1002,
    }  # fmt: skip
    deliver(run, *secrets, boots.secret("token", "probes"), programs=USERS, exceptions=(HELD,))
    assert {place: os.lstat(f"{run.secrets}/{place}").st_uid for place in ("probes", "probes/token")} == {
        "probes": 0, "probes/token": 0,
    }  # fmt: skip
    assert not any(reads(f"{run.secrets}/probes/token", program.user) for program in USERS)
    for program in USERS:
        for place in ("a/one", "b/two", ".values/one"):
            assert reads(f"{run.secrets}/{place}", program.user) == (place[0] == program.name), (program.name, place)


@needs_root
def test_root_without_rights_over_files_removes_what_it_gave_away_and_reads_what_it_needs(run, tmp_path):
    """A container restarts with its run directory; its PID 1 has no CAP_DAC_OVERRIDE."""
    os.chmod(tmp_path, 0o755)
    secret = boots.secret("one", "a", environment="ONE")

    def boot() -> dict[str, str]:
        deliver(run, secret, programs=USERS, exceptions=(HELD,))
        return credentials.Credentials((secret,), run).environment("a")

    def twice() -> tuple[dict[str, str], dict[str, str]]:
        first = boot()
        return first, boot()

    first, second = hardened.run_as_root(twice)
    assert first["ONE"] != second["ONE"]


@needs_root
def test_without_cap_chown_the_delivery_fails_and_names_it(run, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(errors.BootsealError, match="CAP_CHOWN"):
        deliver(run, boots.secret("one", "a"), programs=USERS, exceptions=(HELD,))
