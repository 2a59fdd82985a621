"""exec checks get what their program gets: its secrets, its user, its directory; and show nothing of it."""

import asyncio
import os

import pytest

from contract import files, rundir
from manifest import plan, provisions, serving
from probes.checks import execute
from supervisord import credentials
from tests.unit import boots, hardened

VALUE = "hunter2-hunter2"


@pytest.fixture
def run(tmp_path):
    made = rundir.open_or_create(f"{tmp_path}/run")
    os.chmod(tmp_path, 0o755)
    secret = boots.secret("key", "api", environment="KEY")
    for folder in (credentials.values_directory(made), made.secrets_of("api")):
        os.makedirs(folder)
        files.write_atomically(f"{folder}/key", VALUE.encode(), 0o400)
    execute.use(credentials.Credentials((secret,), made))
    yield made
    execute.use(credentials.Credentials((), made))


def shell(script: str, name: str = "api", **changes):
    wanted = boots.check(plan.EXEC, argv=("/bin/sh", "-c", script))
    return asyncio.run(asyncio.wait_for(execute.check(wanted, boots.program(name, **changes)), 30))


def test_a_check_gets_the_secrets_of_its_program_and_of_no_other(run):
    assert shell(f'[ "$KEY" = {VALUE} ] && [ "$(cat $CREDENTIALS_DIRECTORY/key)" = {VALUE} ]').ok
    assert shell('[ -z "$KEY$CREDENTIALS_DIRECTORY" ]', "web").ok


@pytest.mark.parametrize("name", serving.VARIABLES)
def test_what_the_probe_server_was_told_is_no_checks(run, monkeypatch, name):
    monkeypatch.setenv(name, "told")
    assert shell(f'[ -z "${name}" ]').ok
    assert shell(f'[ "${name}" = mine ]', environment={name: "mine"}).ok


def test_a_check_shows_no_secret_its_own_or_a_neighbours(run):
    assert shell("cat $CREDENTIALS_DIRECTORY/key; exit 1").reason == "/bin/sh exited with code 1: ***"
    assert shell(f"echo {VALUE}; exit 1", "web").reason == "/bin/sh exited with code 1: ***"


def test_without_its_secret_a_check_fails_and_names_it_and_nothing_unknown_is_shown(run):
    os.unlink(f"{credentials.values_directory(run)}/key")
    assert shell("true").reason.startswith("secret key: ")
    assert shell("echo word; exit 1", "web").reason == "/bin/sh exited with code 1: ***"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a check as another user")


@needs_root
def test_a_check_is_its_programs_user_in_a_directory_that_is_closed_to_root_without_rights(run, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 1001, 1002)
    user = provisions.User(1001, 1002)
    script = (
        'echo "$(id -u):$(id -g):$(id -G) $PWD $HOME"; grep -q "CapEff:.0000000000000000" /proc/self/status; exit 3'
    )
    reason = hardened.run_as_root(lambda: shell(script, user=user, directory=str(home)).reason)
    assert reason == f"/bin/sh exited with code 3: 1001:1002:1002 {home} /"


@needs_root
def test_a_directory_that_the_user_may_not_enter_is_the_reason(run, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    reason = shell("true", user=provisions.User(1001, 1002), directory=str(closed)).reason
    assert reason == f"/bin/sh exited with code 127: {closed}: permission denied"


@pytest.fixture
def long_secret(tmp_path):
    """A secret that is longer than all that is kept of a check's output."""
    made = rundir.open_or_create(f"{tmp_path}/long-run")
    value = "".join(f"{number:05x}é" for number in range(0, 1_000_000, 1021))
    os.makedirs(credentials.values_directory(made))
    files.write_atomically(f"{credentials.values_directory(made)}/key", value.encode(), 0o400)
    execute.use(credentials.Credentials((boots.secret("key", "api"),), made))
    yield value, f"{credentials.values_directory(made)}/key"
    execute.use(credentials.Credentials((), made))


@pytest.mark.parametrize("behind", [0, 1, 50, 190, 3900, 4090, 4096, 4100, 4105, 4111, 4112])
def test_wherever_the_output_of_a_check_is_cut_no_part_of_a_secret_is_shown(long_secret, behind):
    value, path = long_secret
    assert len(value.encode()) > 5000
    for rest in (f"printf '%{behind}s' | tr ' ' .", f"head -c {behind} {path}", f"printf .; head -c {behind} {path}"):
        reason = shell(f"cat {path}; {rest}; exit 1", "web").reason
        said = reason.removeprefix("/bin/sh exited with code 1").removeprefix(": ")
        assert said.replace("*", "").strip(".") == ""


def test_the_next_boots_secrets_are_hidden_and_not_the_last_ones(run):
    assert shell(f"echo {VALUE}; exit 1", "web").reason.endswith(": ***")
    files.write_atomically(f"{credentials.values_directory(run)}/key", b"another-one", 0o400)
    execute.use(credentials.Credentials((boots.secret("key", "api", environment="KEY"),), run))
    assert shell(f"echo {VALUE} another-one; exit 1", "web").reason.endswith(f": {VALUE} ***")


def test_other_values_of_the_environment_are_hidden_whole_and_their_parts_are_words(run):
    environment = {"PLACE": "/srv/app/data", "DB_PASSWORD": "sesame-open-now", "SHORT": "sesame"}
    text = "/srv/app/data /srv/app/logs sesame open-now! sesame-op"
    assert execute.masked(text, environment) == "*** /srv/app/logs sesame ***! ***"
