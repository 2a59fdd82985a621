"""The hardened container: no capability, no write, no listener and no environment beyond what was declared."""

import json
import pathlib

import pytest

from tests.container import box
from tests.container.conftest import SECRET, Start

pytestmark = pytest.mark.container

PID_1 = [
    *("/opt/bootseal/bin/python", "-I", "-X", "utf8", "-m", "supervisord.pid1"),
    *("--nodaemon", "--configuration", "/opt/bootseal/etc/supervisord.conf"),
]
PORTS = {"hello": {8080, 8081}, "shop": {8000, 8001, 8002, 8080, 9091}}
ALLOWED = {"PATH", "HOME", "HOSTNAME", "LANG", "TERM", "TMPDIR", "BOOTSEAL_RUN_DIR"}
TCP_LISTEN = "0A"


def name_of(container: box.Box) -> str:
    plan = json.loads(container.host.file("/opt/bootseal/etc/plan.json").content_string)
    return str(plan["name"])


def test_pid_1_is_supervisord_by_the_full_path_of_our_interpreter(sealed: box.Box) -> None:
    argv = sealed.host.file("/proc/1/cmdline").content_string.split("\0")[:-1]
    assert argv == PID_1


def test_every_process_runs_without_root_capabilities_or_a_way_to_gain_them(sealed: box.Box) -> None:
    pids = sealed.host_pids()
    assert len(pids) >= 3
    for pid in pids:
        status = sealed.status_of(pid)
        assert set(status["Uid"].split()) == {"1000"}, status["Name"]
        assert set(status["Gid"].split()) == {"1000"}, status["Name"]
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {0}, status["Name"]
        assert status["NoNewPrivs"] == "1", status["Name"]


def test_programs_start_with_no_signal_blocked_or_ignored(sealed: box.Box) -> None:
    """What PID 1 blocks over the hand-over and Python ignores must not reach a program."""
    first = sealed.host_pids()[0]
    assert int(sealed.status_of(first)["SigBlk"], 16) == 0
    probe = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    assert sealed.python(probe).strip() == "0"
    for pid in sealed.host_pids()[1:]:
        assert int(sealed.status_of(pid)["SigBlk"], 16) == 0, sealed.status_of(pid)["Name"]


def test_the_root_is_read_only_and_only_run_and_tmp_can_be_written(sealed: box.Box) -> None:
    assert "ro" in sealed.host.mount_point("/").options
    search = (
        "import os\n"
        "skipped = ('/proc', '/sys', '/dev', '/run', '/tmp')\n"
        "for top, folders, files in os.walk('/'):\n"
        "    folders[:] = [name for name in folders if os.path.join(top, name) not in skipped]\n"
        "    for path in [top, *(os.path.join(top, name) for name in files)]:\n"
        "        if not os.path.islink(path) and os.access(path, os.W_OK):\n"
        "            print(path)\n"
    )
    assert sealed.python(search) == ""


def test_the_run_directory_is_ours_and_nobody_elses_to_write(sealed: box.Box) -> None:
    run = sealed.host.file("/run/bootseal")
    assert run.is_directory
    assert (run.uid, run.gid) == (1000, 1000)
    assert run.mode & 0o022 == 0


def test_private_keys_are_private(sealed: box.Box) -> None:
    keys = sealed.host.file("/run/bootseal/keys")
    assert keys.is_directory
    assert keys.mode == 0o700
    names = keys.listdir()
    assert names
    assert {sealed.host.file(f"/run/bootseal/keys/{name}").mode for name in names} == {0o600}


def test_supervisors_socket_is_this_users_alone(sealed: box.Box) -> None:
    found = sealed.host.file("/run/bootseal/supervisor.sock")
    assert found.is_socket
    assert found.mode == 0o700
    assert found.uid == 1000
    # supervisor binds NAME.PID and links it, and the kernel lists the bound name.
    bound = [line.split()[-1] for line in sealed.host.file("/proc/net/unix").content_string.splitlines()[1:]]
    assert "/run/bootseal/supervisor.sock.1" in bound


def test_nothing_listens_but_the_declared_ports(sealed: box.Box) -> None:
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in sealed.host.file(f"/proc/net/{table}").content_string.splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == TCP_LISTEN:
                listening.add(int(local.rpartition(":")[2], 16))
    assert listening == PORTS[name_of(sealed)]
    for table in ("udp", "udp6"):
        assert sealed.host.file(f"/proc/net/{table}").content_string.splitlines()[1:] == []


def test_the_environment_holds_only_what_is_allowed_and_declared(sealed: box.Box) -> None:
    declared = json.loads(sealed.host.file("/opt/bootseal/etc/plan.json").content_string)["boot"]["environment"]
    first, *_ = sealed.host_pids()
    content = pathlib.Path(f"/proc/{first}/environ").read_text()
    variables = dict(item.split("=", 1) for item in content.split("\0") if item)
    assert set(variables) <= ALLOWED | set(declared)
    if "SHOP_NAME" in declared:
        assert variables["SHOP_NAME"] == "The Corner"


def test_a_secret_of_the_containers_environment_is_in_no_process(sealed: box.Box) -> None:
    for pid in sealed.host_pids():
        for fact in ("environ", "cmdline"):
            assert SECRET not in pathlib.Path(f"/proc/{pid}/{fact}").read_text(errors="replace")
    assert SECRET not in sealed.log()


def test_what_we_write_lies_in_the_run_directory_and_the_declared_roots(start: Start, shop_image: str) -> None:
    """On a writable root nothing but a mode stops a write, and the engine sees each one."""
    ours = start(shop_image, "--network=none", *box.USER, *box.TMPFS)
    ours.wait_until_sealed()
    changed = {line.split(maxsplit=1)[1] for line in box.engine_ok("diff", ours.name).splitlines()}
    of_the_engine = {"/etc", "/run", "/tmp", "/dev", "/proc", "/sys"}  # mount points, and what it puts in /etc
    assert {path for path in changed if not path.startswith("/etc/")} <= of_the_engine
    assert changed & {"/etc/passwd", "/etc/shadow", "/etc/nginx", "/etc/redis"} <= {"/etc/passwd"}
    made = ours.run("find", "/run", "/tmp", "-mindepth", "1", "-maxdepth", "1", "-user", "1000").stdout.split()
    assert set(made) == {"/run/bootseal", "/run/shop"}
