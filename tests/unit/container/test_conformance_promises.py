"""Each promise of the conformance suite, kept and broken, each break for its own reason and telling it."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from container.conformance import answers, collector, facts, programs, promise, promises, sealing
from contract import attested, snapshot
from manifest import hardening, plan, serving
from tests.unit import boots
from tests.unit.container import conforming
from tests.unit.container.conforming import RUN, collected

Making = Callable[[], promise.Subject]
BY_NAME = {one.name: one for one in promises.PROMISES}


def told(**changes: Any) -> Making:
    """The collector sends something else."""
    return lambda: conforming.subject(**changes)


def process(old: str, new: str, pid: int = 20) -> Making:
    """The kernel says something else of a process."""

    def make() -> promise.Subject:
        sent = collected()["processes"]
        [one] = [one for one in sent if one["pid"] == pid]
        assert old in one["status"]
        one["status"] = one["status"].replace(old, new)
        return conforming.subject(processes=sent)

    return make


def processes(pid: int, **changes: Any) -> Making:
    """The collector sends something else of a process."""

    def make() -> promise.Subject:
        sent = collected()["processes"]
        [one] = [one for one in sent if one["pid"] == pid]
        one.update(changes)
        return conforming.subject(processes=sent)

    return make


def mounted(old: str, new: str) -> Making:
    """Something is mounted otherwise."""

    def make() -> promise.Subject:
        assert old in conforming.MOUNTINFO
        return conforming.subject(mountinfo=conforming.MOUNTINFO.replace(old, new))

    return make


def entries(path: str, **changes: Any) -> Making:
    """Something else stands at a path, or nothing where no change is named."""

    def make() -> promise.Subject:
        sent = collected()["entries"]
        found = [one for one in sent if one["path"] == path]
        kept = [one for one in sent if one["path"] != path]
        base = found[0] if found else conforming.entry(path, 0o400)
        return conforming.subject(entries=[*kept, {**base, **changes}] if changes else kept)

    return make


def listening(line: str, table: str = "tcp") -> Making:
    """One more socket is in a table of the kernel's."""

    def make() -> promise.Subject:
        sockets = collected()["sockets"]
        sockets[table] += ("" if sockets[table].endswith("\n") else "\n") + line
        return conforming.subject(sockets=sockets)

    return make


def socket_line(local: str, state: str = "0A", inode: int = 900) -> str:
    return f"   9: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0\n"


def silent(port: str) -> Making:
    """Nobody listens on a port (in the kernel's hexadecimal) any more."""

    def make() -> promise.Subject:
        sockets = collected()["sockets"]
        lines = sockets["tcp"].splitlines()
        kept = [line for line in lines if f":{port} 00000000:0000 0A" not in line]
        assert len(kept) == len(lines) - 1
        return conforming.subject(sockets={**sockets, "tcp": "\n".join(kept)})

    return make


def answered(name: str, code: int = 200, kind: str = "application/json", **changes: Any) -> Making:
    """A path is answered otherwise; ``changes`` are of its body."""

    def make() -> promise.Subject:
        sent = collected()["answers"]
        body = sent[name]["body"]
        if changes:
            body = json.dumps({**json.loads(body), **changes})
        sent[name] = {"status": code, "content_type": kind, "body": body}
        return conforming.subject(answers=sent)

    return make


def without(name: str, key: str) -> Making:
    """A body lacks a key."""

    def make() -> promise.Subject:
        sent = collected()["answers"]
        body = json.loads(sent[name]["body"])
        del body[key]
        sent[name]["body"] = json.dumps(body)
        return conforming.subject(answers=sent)

    return make


def body(name: str, text: str) -> Making:
    """A path is answered with a text."""

    def make() -> promise.Subject:
        sent = collected()["answers"]
        sent[name]["body"] = text
        return conforming.subject(answers=sent)

    return make


def outside(**changes: Any) -> Making:
    """Something else is seen from outside; ``main`` is a dictionary of changes to PID 1 as the host sees it."""

    def make() -> promise.Subject:
        made = conforming.subject()
        main = changes.get("main")
        if isinstance(main, dict):
            assert made.outside.main is not None
            return dataclasses.replace(
                made, outside=dataclasses.replace(made.outside, main=dataclasses.replace(made.outside.main, **main))
            )
        return dataclasses.replace(made, outside=dataclasses.replace(made.outside, **changes))

    return make


def planned(change: Callable[[plan.Plan], plan.Plan]) -> Making:
    """The plan says something else than what the container is like."""

    def make() -> promise.Subject:
        made = conforming.subject()
        return dataclasses.replace(made, plan=change(made.plan))

    return make


def security(**changes: Any) -> Making:
    return planned(lambda made: dataclasses.replace(made, security=dataclasses.replace(made.security, **changes)))


def ran(name: str, code: int, output: str) -> Making:
    def make() -> promise.Subject:
        return conforming.subject(ran={**collected()["ran"], name: {"code": code, "output": output}})

    return make


def ledger(**changes: Any) -> Making:
    return lambda: conforming.subject(ledger=snapshot.dump(conforming.ledger(**changes)))


def view(name: str, **changes: Any) -> Making:
    """The ledger tells something else of a program."""

    def make() -> promise.Subject:
        views = conforming.ledger().programs
        changed = tuple(dataclasses.replace(one, **changes) if one.name == name else one for one in views)
        return ledger(programs=changed)()

    return make


def booted(**changes: Any) -> Making:
    """The boot's record says something else."""

    def make() -> promise.Subject:
        record = dataclasses.asdict(conforming.boot()) | changes
        return conforming.subject(boot_record=json.dumps(record))

    return make


def attesting(**changes: Any) -> Making:
    """The boot attested something else, in its record and in the seal."""

    def make() -> promise.Subject:
        found = conforming.boot().security
        assert found is not None
        made = dataclasses.replace(found, **changes).plain()
        return conforming.subject(
            boot_record=json.dumps(dataclasses.asdict(conforming.boot()) | {"security": made}),
            seal_hex=conforming.sealed(security=made).hex(),
        )

    return make


def effective(**changes: Any) -> Making:
    found = conforming.boot().security
    assert found is not None
    return attesting(effective=dataclasses.replace(found.effective, **changes))


def sealed(**changes: Any) -> Making:
    return lambda: conforming.subject(seal_hex=conforming.sealed(**changes).hex())


def forged() -> promise.Subject:
    """Somebody edited the seal, and could not sign it."""
    data = conforming.sealed().replace(b'"late": false', b'"late": true')
    return conforming.subject(seal_hex=data.hex())


def relabelled(**changes: Any) -> Making:
    """The kernel says something else of PID 1's descriptors."""
    return told(limits=conforming.collected()["limits"].replace("4096 ", "1024 "), **changes)


WEAKER = attested.Difference("tmpfs /run", "64 MiB", "no size", weaker=True, mend="--tmpfs=/run:size=64m")
BROKEN: list[tuple[str, Making, str]] = [
    ("main-process", told(boot_record=None), "boot.json: it is not there"),
    ("main-process", told(boot_record="{}"), "boot.json: its schema is null"),
    ("main-process", booted(pid1=77), "process 77, which /run/bootseal/boot.json names, was not seen"),
    ("main-process", booted(pid1_start=1), "it started at 4711, and boot.json names the process that started at 1"),
    ("main-process", processes(1, argv=["/usr/bin/python3", *conforming.PID_1[1:]]), "it runs `/usr/bin/python3 -I"),
    ("main-process", processes(1, argv=["sh"]), "not supervisord by /opt/bootseal/bin/python"),
    ("main-process", outside(main={"start": 9}), "the host sees it start at 9"),
    ("same-plan", told(plan_sha256="00" * 32), "plan.json: its sha256 is 0000"),
    ("same-plan", told(plan_sha256=None), "plan.json: it cannot be read"),
    ("same-plan", told(config_sha256="00" * 32), "supervisord.conf: its sha256 is 0000"),
    ("same-plan", told(lock_sha256="00" * 32), "closures.lock: its sha256 is 0000"),
    ("same-plan", booted(plan_sha256="00" * 32), "the plan that was booted: its sha256 is 0000"),
    ("user", process("Uid:\t1000\t1000", "Uid:\t0\t1000"), "it runs as uid 0, 1000 and gid 1000, and the plan says 1000:1000"),
    ("user", process("Gid:\t1000", "Gid:\t5"), "gid 5, 1000"),
    ("user", security(user=plan.provisions.User(1001, 1001)), "run the container as user 1001:1001"),
    ("groups", process("Groups:\t44 1000", "Groups:\t44 1000 999"), "it is in the groups 999, and the plan names video"),
    ("groups", process("Groups:\t44 1000", "Groups:\t1000", pid=1), "it is not in the group video"),
    ("capabilities", process("CapEff:\t0000000000000000", "CapEff:\t0000000000200000"), "SYS_ADMIN is in its effective set"),
    ("capabilities", process("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000001"), "CHOWN is in its ambient set"),
    ("capabilities", process("CapBnd:\t0000000000000400", "CapBnd:\t8000000000000400"), "number 63 is in its bounding set"),
    ("capabilities", process("CapBnd:\t0000000000000400", "CapBnd:\t0000000000000000", pid=1), "it can never have NET_BIND_SERVICE"),
    ("capabilities", outside(main={"capabilities": dict.fromkeys(facts.CAPABILITY_SETS, ("KILL",))}), "KILL is in its inheritable set"),
    ("no-new-privileges", process("NoNewPrivs:\t1", "NoNewPrivs:\t0"), "its NoNewPrivs is 0"),
    ("no-new-privileges", outside(main={"no_new_privileges": False}), "its NoNewPrivs is 0"),
    ("seccomp", process("Seccomp:\t2", "Seccomp:\t0"), "its Seccomp is 0: no filter is in force"),
    ("denied-syscalls", outside(allowed_syscalls=("ptrace", "read")), "it allows ptrace, which the plan denies"),
    ("denied-syscalls", outside(allowed_syscalls=None), "the engine's own profile is in force, and the plan denies ptrace"),
    ("namespaces", outside(shared=("net",)), "it is in the net namespace of its host"),
    ("namespaces", outside(privileged=True), "it is privileged"),
    ("environment", outside(main={"variables": ("PATH", "AWS_KEY")}), "it holds AWS_KEY, which the plan does not name"),
    ("environment", outside(main={"variables": ("TOKEN_SOURCE",)}), "it holds TOKEN_SOURCE, which is the source of a secret"),
    ("attestation", booted(security=None), "the boot attests no profile"),
    ("attestation", attesting(differences=(WEAKER,)), "tmpfs /run is no size, and the plan says 64 MiB (start the container with --tmpfs"),
    ("attestation", effective(uid=7), "the boot attested uid 7, and 1000 is seen"),
    ("attestation", effective(seccomp="disabled"), "the boot attested seccomp disabled, and filter is seen"),
    ("attestation", effective(capabilities={"effective": ("KILL",)}), "attested effective capabilities ['KILL'], and [] is seen"),
    ("attestation", sealed(security=None), "the seal repeats another one than boot.json"),
    ("memory", told(cgroup={"memory": "max"}), "it has no limit, and the plan says 1073741824 bytes"),
    ("memory", told(cgroup={"memory": "9223372036854771712"}), "it has no limit"),
    ("memory", told(cgroup={"memory": "4096"}), "its limit is 4096 bytes"),
    ("cpus", told(cgroup={"cpu": "max 100000"}), "it has no limit, and the plan says 1.5"),
    ("cpus", told(cgroup={"cpu": "-1", "cpu_period": "100000"}), "it has no limit"),
    ("cpus", told(cgroup={"cpu": "50000", "cpu_period": "100000"}), "it is limited to 0.5"),
    ("processes", told(cgroup={"pids": "max"}), "they are not limited, and the plan says 1024"),
    ("processes", told(cgroup={"pids": "2048"}), "they are limited to 2048"),
    ("descriptors", relabelled(), "a process may open 1024, and the plan says 4096"),
    ("devices", told(devices=["/dev/kfd", "/dev/fuse"]), "/dev/fuse: it is a device that the plan does not name"),
    ("devices", told(devices=["/dev/null"]), "/dev/kfd: the plan names this device, and it is not there"),
    ("read-only-root", mounted("/ / ro,", "/ / rw,"), "it is mounted writable"),
    ("memory-mounts", mounted(" /tmp rw,nosuid,nodev,noexec,relatime - tmpfs", " /tmp rw,nosuid,nodev,noexec,relatime - ext4"), "/tmp: it is of kind ext4"),
    ("memory-mounts", mounted(" /run rw", " /other rw"), "/run: nothing is mounted there"),
    ("memory-mounts", mounted(" /tmp rw,nosuid,nodev,noexec,", " /tmp rw,nosuid,nodev,"), "programs in it can be run"),
    ("memory-mounts", mounted(" /tmp rw,nosuid,", " /tmp rw,"), "it is mounted without nosuid"),
    ("memory-mounts", mounted(" /tmp rw,", " /tmp ro,"), "it is read-only"),
    ("memory-mounts", mounted("rw,size=65536k,mode=755,uid=1000", "rw,size=1g,mode=755,uid=1000"), "it has 1073741824 bytes, and the plan says 67108864"),
    ("memory-mounts", mounted("rw,size=65536k,mode=755,uid=1000", "rw"), "it has no size"),
    ("memory-mounts", entries("/tmp", mode=0o777), "everybody can rename what lies in it"),
    ("memory-mounts", entries("/tmp", uid=0), "it belongs to uid 0, and the plan says 1000"),
    ("memory-mounts", security(tmpfs=(hardening.Tmpfs("/tmp", 2**26, 0o1777, True, None),)), "programs in it cannot be run"),
    ("writable-roots", entries("/run/api"), "/run/api: it is not there"),
    ("writable-roots", entries("/run/api", kind="link"), "it is a link"),
    ("writable-roots", entries("/run/api", mode=0o755), "its mode is 0755, and the plan says 0750"),
    ("writable-roots", entries("/run/api", uid=0), "it belongs to 0:1000, and the plan says 1000:1000"),
    ("writable-roots", planned(lambda made: dataclasses.replace(made, boot=dataclasses.replace(made.boot, writable=(dataclasses.replace(made.boot.writable[0], mount_required=True),)))), "nothing is mounted there, and the plan demands it"),
    ("volumes", mounted(" /data rw", " /elsewhere rw"), "/data: nothing is mounted there"),
    ("volumes", mounted(" /data rw,relatime - ext4 /dev/vda rw", " /data rw,relatime - tmpfs tmpfs rw"), "a tmpfs is mounted there, rw: what is written there is lost"),
    ("immutable-paths", told(attempts=[{"path": "/opt/box", "error": ""}]), "/opt/box: a file was written there"),
    ("immutable-paths", told(attempts=[{"path": "/opt/box", "error": "ENOENT"}]), "/opt/box: it is not there"),
    ("immutable-paths", told(attempts=[]), "/opt/box: nobody tried to write there"),
    ("immutable-paths", mounted(" /data rw", " /opt/box/cache rw"), "/opt/box/cache is mounted writable in it"),
    ("immutable-paths", told(writable=["/opt/box/api"]), "/opt/box/api: it can be written, and lies in an immutable path"),
    ("nothing-else-writable", told(writable=["/srv"]), "/srv: it can be written, and the plan does not name it"),
    ("nothing-else-writable", told(attempts=[{"path": "/etc", "error": ""}]), "/etc: a file was written there"),
    ("run-directory", told(run_directory=None), "/run/bootseal: it is not there"),
    ("run-directory", told(run_directory=conforming.entry(RUN.path, 0o777, "link")), "it is a link"),
    ("run-directory", told(run_directory=conforming.entry(RUN.path, 0o775, "directory")), "its mode 0775 lets group or others write"),
    ("run-directory", told(run_directory=conforming.entry(RUN.path, 0o755, "directory", uid=0)), "it belongs to uid 0, and PID 1 is uid 1000"),
    ("records", entries(RUN.seal, mode=0o644), "bootstrap.done: its mode is 0644, not 0444"),
    ("records", entries(RUN.boot_record, uid=7), "boot.json: it belongs to uid 7, not 1000"),
    ("records", entries(RUN.events, mode=0o644), "events.jsonl: its mode is 0644, not 0600"),
    ("records", entries(RUN.attestation), "bootstrap.intoto.jsonl: it is not there"),
    ("identity", entries(f"{RUN.identity}/ed25519.pub"), "ed25519.pub: it is not there"),
    ("identity", entries(f"{RUN.identity}/id", mode=0o666), "identity/id: its mode is 0666"),
    ("identity", entries(f"{RUN.identity}/nostr.pub", mode=0o600), "nostr.pub: its mode is 0600, not 0444"),
    ("identity", entries(RUN.identity, kind="link"), "it is a link, not a directory"),
    ("identity", mounted(" /data rw", f" {RUN.identity} rw"), "it is mounted writable"),
    ("private-keys", entries(f"{RUN.keys}/ed25519.key", mode=0o640), "ed25519.key: its mode is 0640, not 0600"),
    ("private-keys", entries(RUN.keys, mode=0o755), "keys: its mode is 0755, not 0700"),
    ("private-keys", entries(f"{RUN.keys}/ed25519.key", uid=7), "it belongs to uid 7"),
    ("sockets", entries(RUN.supervisor_socket, mode=0o766), "supervisor.sock: its mode is 0766, not 0700"),
    ("sockets", entries(RUN.probes_socket, mode=0o666), "probes.sock: its mode is 0666"),
    ("sockets", entries(RUN.ledger_socket, kind="file"), "ledger.sock: it is a file, not a socket"),
    ("sockets", entries(RUN.notify_socket, mode=0o777), "notify.sock: its mode is 0777"),
    ("secrets", entries(f"{RUN.secrets}/api/token", mode=0o444), "api/token: its mode is 0444, not 0400"),
    ("secrets", entries(f"{RUN.secrets}/api/token"), "api/token: it is not there"),
    ("secrets", entries(f"{RUN.secrets}/api", mode=0o755), "secrets/api: its mode is 0755"),
    ("secrets", entries(f"{RUN.secrets}/extra/token", mode=0o400), "extra/token: no program is named for it"),
    ("secrets", planned(lambda made: dataclasses.replace(made, secrets=())), "it is there, and the plan delivers no secret"),
    ("secret-variables", processes(30, variables=["TOKEN_SOURCE"]), "of extra: its environment holds TOKEN_SOURCE"),
    ("secret-variables", processes(30, variables=["API_TOKEN"]), "of extra: its environment holds API_TOKEN"),
    ("only-declared-listeners", listening(socket_line("00000000:1388")), "tcp 0.0.0.0:5000: somebody listens there, and the plan does not declare it"),
    ("only-declared-listeners", listening(socket_line("0100007F:1388")), "tcp 127.0.0.1:5000: somebody listens there"),
    ("only-declared-listeners", listening(socket_line("00000000:2329", inode=504)), "process 20 (/opt/box/api) listens there, and the plan declares 127.0.0.1:9001 of extra alone"),
    ("only-declared-listeners", listening(socket_line("0" * 32 + ":1388"), "tcp6"), "tcp [::]:5000"),
    ("only-declared-listeners", listening(socket_line("00000000:0035", "07"), "udp"), "udp 0.0.0.0:53"),
    ("declared-listeners", silent("1F90"), "0.0.0.0:8080 of the probes: nobody listens there"),
    ("declared-listeners", silent("2328"), "0.0.0.0:9000 of api: nobody listens there"),
    ("programs-run", ran(programs.STATUS, 3, "api BACKOFF Exited too quickly\nonce EXITED x\nprobes RUNNING\nbootstrap EXITED\nbootstrap-seal EXITED"), "program api: it is BACKOFF, not RUNNING"),
    ("programs-run", ran(programs.STATUS, 3, "api RUNNING\nonce FATAL\nprobes RUNNING\nbootstrap EXITED\nbootstrap-seal EXITED"), "program once: it is FATAL, not EXITED"),
    ("programs-run", ran(programs.STATUS, 0, "api RUNNING\nonce EXITED\nbootstrap EXITED\nbootstrap-seal EXITED"), "program probes: it is unknown"),
    ("programs-run", ran(programs.STATUS, 4, "unix:///run/bootseal/supervisor.sock no such file"), "it exited 4 and said: unix://"),
    ("programs-ready", ran(programs.READY, 1, "api failed it died"), "supervisorctl ready: it exited 1 and said: api failed it died"),
    ("programs-ready", view("api", state=snapshot.FAILED, reason="exited 3"), "program api: it is failed: exited 3"),
    ("programs-ready", told(ledger=None, ledger_error="refused"), "PID 1 did not tell its ledger: refused"),
    ("ledger", told(ledger=None, ledger_error="refused"), "PID 1 did not tell its ledger: refused"),
    ("ledger", told(ledger="{}"), "its schema is null"),
    ("ledger", ledger(boot_id="00" * 16), "its boot_id is 0000"),
    ("ledger", ledger(generation=2), "its generation is 2, not 1"),
    ("ledger", ledger(pid1_start=1), "its PID 1 is (1, 1), not (1, 4711)"),
    ("ledger", ledger(phase=snapshot.HELD, failure="api died"), "its phase is held, not sealed"),
    ("ledger", ledger(programs=(boots.view("stranger"),)), "program stranger: the plan has no such program"),
    ("ledger", ledger(programs=()), "program api: the ledger does not know it"),
    ("seal", told(seal_hex=None), "bootstrap.done: it is not there"),
    ("seal", forged, "its signature is not by this container's identity key"),
    ("seal", sealed(boot_id="00" * 16), "its boot_id is 0000"),
    ("seal", sealed(generation=2), "its generation is 2"),
    ("seal", sealed(pid1_start=2), "its pid1_start is 2"),
    ("seal", sealed(plan_sha256="00" * 32), "its plan_sha256 is 0000"),
    ("seal", sealed(programs=[]), "it seals nothing, and the plan requires api, once"),
    ("seal", booted(public_key=boots.SHA256), "public_key is not an Ed25519 key"),
    ("seal-current", told(seal_hex=None), "there is no seal of this generation"),
    ("seal-current", sealed(late=True), "and PID 1 saw"),
    ("seal-current", ledger(seal=None), "PID 1's ledger: there is no seal of this generation"),
    ("seal-verified", ran(sealing.VERIFY, 1, 'bootseal verify: x\n{"accepted": false, "refusal": {\n"why": "it is stale", "remedy": "boot anew"}}'), "it is stale (boot anew)"),
    ("seal-verified", ran(sealing.VERIFY, 1, "no module"), "it exited 1 and said: no module"),
    ("livez", answered("livez", 503), "/livez: it answers 503"),
    ("livez", answered("livez", live=False), "its live is false, not true"),
    ("startupz", answered("startupz", 503), "/startupz: it answers 503"),
    ("startupz", without("startupz", "sealed_at"), "'sealed_at' is a required property"),
    ("ready", answered("ready", 503), "/ready: it answers 503"),
    ("ready", answered("ready", requirements=["api", "identity"]), "it leaves out once, which the plan requires"),
    ("ready", answered("ready", requirements=["api", "once", "other"]), "it names other, which the plan does not require"),
    ("health", answered("health", status="unready"), 'its status is "unready", not "ready"'),
    ("health", answered("health", 0), "/health: nobody answers"),
    ("health", answered("health", programs=[]), "it leaves out the program api"),
    ("whoami", answered("whoami", boot_id="00" * 16), "its boot_id is"),
    ("whoami", answered("whoami", ed25519="AAAA"), 'its ed25519 is "AAAA"'),
    ("whoami", answered("whoami", kind="text/html"), "its type is text/html, and application/json is documented"),
    ("meta", answered("meta", plan_sha256="00" * 32), "its plan_sha256 is"),
    ("meta", answered("meta", bootseal="9"), 'its bootseal is "9"'),
    ("meta", answered("meta", endpoints=None), "its probes is null, not"),
    ("meta", body("meta", "<html>"), "its body is no JSON"),
    ("metrics", body("metrics", "}{"), "it is no application/openmetrics-text"),
    ("metrics", body("metrics", conforming.METRICS.replace(conforming.PLAN_SHA256, "00")), "bootseal_plan_info's plan_sha256 is 00"),
    ("metrics", body("metrics", conforming.METRICS.replace("sealed 1.0", "sealed 0.0")), "bootseal_boot_sealed is not 1"),
    ("metrics", answered("metrics", 503, "text/plain"), "/metrics: it answers 503"),
    ("openapi", answered("openapi", paths={}), "it differs from that of bootseal"),
    ("detail", answered(answers.DETAIL, 200), "without a token is answered 200, and by probes.detail it is 401"),
    ("detail", answered(answers.ELSEWHERE, 200), "on the probes' address is answered 200, and by probes.detail it is 404"),
    ("no-critical-line", outside(log=f"{boots.BOOT_ID}\nCRIT uncaptured python exception"), "it says: CRIT uncaptured"),
    ("no-critical-line", outside(log="api | CRITICAL the disk is gone"), "it says: api | CRITICAL"),
    ("no-error-event", told(errors=["ProgramFailed api: exited 3"], error_count=9), "event: ProgramFailed api: exited 3"),
]  # fmt: skip


@pytest.mark.parametrize("name", BY_NAME)
def test_a_container_that_keeps_everything_keeps_this(name: str) -> None:
    verdict = promise.verdict(BY_NAME[name], conforming.subject())
    assert [str(one) for one in verdict.violations] == []
    assert verdict.unseen == ""
    assert verdict.evidence


@pytest.mark.parametrize(
    ("name", "make", "words"), BROKEN, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(BROKEN)]
)
def test_a_broken_promise_is_told_with_its_cause(name: str, make: Making, words: str) -> None:
    verdict = promise.verdict(BY_NAME[name], make())
    told_of = [str(one) for one in verdict.violations]
    assert [text for text in told_of if words in text], told_of
    assert all(one.what and one.why and one.remedy for one in verdict.violations)
    assert verdict.unseen == ""


def test_every_promise_is_seen_broken_here() -> None:
    assert {name for name, *_ in BROKEN} == set(BY_NAME)


def no_process() -> promise.Subject:
    """Nothing of the boot was seen to run."""
    made = conforming.subject()
    return dataclasses.replace(made, inside=dataclasses.replace(made.inside, processes=()))


UNSEEN: list[tuple[str, Making, str]] = [
    ("denied-syscalls", security(denied_syscalls=()), "the plan denies no system call"),
    ("denied-syscalls", outside(allowed_syscalls=None, privileged=None, why="no engine"), "no engine"),
    ("namespaces", outside(shared=None, privileged=None, why="no engine"), "no engine"),
    ("namespaces", outside(shared=None, why=""), "this user may not read them there"),
    ("user", no_process, "process 1, which"),
    ("groups", no_process, "process 1, which"),
    ("no-new-privileges", no_process, "process 1, which"),
    ("seccomp", no_process, "process 1, which"),
    ("nothing-else-writable", told(looked_at=collector.MOST_LOOKED_AT), "only the first 300000 files"),
    ("no-error-event", told(error_count=None), "nobody within may read"),
    ("environment", outside(main=None, why="not this machine's"), "not this machine's"),
    ("memory", told(cgroup={}), "does not see its cgroup"),
    ("cpus", security(limits=hardening.Limits(1, None, 1, 1)), "the plan limits no CPUs"),
    ("processes", outside(backend="kubectl"), "a pod's specification cannot say it"),
    ("descriptors", told(limits=None), "PID 1's limits cannot be read"),
    ("private-keys", entries(f"{RUN.keys}/ed25519.key"), "no key lies in /run/bootseal/keys"),
    ("secret-variables", planned(lambda made: dataclasses.replace(made, secrets=())), "no secret of the plan comes from a variable"),
    ("no-critical-line", outside(log=None, why="the engine keeps none"), "the engine keeps none"),
    ("no-error-event", entries(RUN.events), "there is no /run/bootseal/events.jsonl"),
    ("user", planned(lambda made: dataclasses.replace(made, relocated=True)), "`bootseal up` confines nothing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "words"), UNSEEN, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(UNSEEN)]
)
def test_what_cannot_be_seen_is_not_kept_and_told_with_the_reason(name: str, make: Making, words: str) -> None:
    verdict = promise.verdict(BY_NAME[name], make())
    assert verdict.violations == ()
    assert words in verdict.unseen


def kept(name: str, made: promise.Subject) -> bool:
    found = promise.verdict(BY_NAME[name], made)
    return not found.violations and not found.unseen


def test_a_narrower_listener_than_declared_is_not_another_one() -> None:
    assert kept("only-declared-listeners", listening(socket_line("0100007F:2328"))())


def test_a_port_on_loopback_need_be_declared_only_where_the_manifest_speaks_of_ports() -> None:
    made = listening(socket_line("0100007F:1388"))()
    assert not kept("only-declared-listeners", made)
    mute = tuple(dataclasses.replace(one, ports=()) for one in made.plan.programs)
    nine_thousand = "00000000:2328"  # whose declaration is gone, too
    sockets = {name: text.replace(nine_thousand, "0100007F:2328") for name, text in made.inside.told.sockets.items()}
    inside = facts.parse(json.dumps({**collected(), "sockets": sockets}).encode(), "x")
    assert kept(
        "only-declared-listeners",
        dataclasses.replace(made, inside=inside, plan=dataclasses.replace(made.plan, programs=mute)),
    )
    assert not kept(
        "only-declared-listeners", dataclasses.replace(made, plan=dataclasses.replace(made.plan, programs=mute))
    )


def test_where_the_network_is_shared_only_who_was_seen_is_judged() -> None:
    theirs = dataclasses.replace(listening(socket_line("00000000:1388"))(), shared_network=True)
    ours = dataclasses.replace(listening(socket_line("00000000:1388", inode=504))(), shared_network=True)
    assert kept("only-declared-listeners", theirs)
    assert not kept("only-declared-listeners", ours)


def test_a_port_that_the_kernel_handed_to_a_client_is_no_listener() -> None:
    assert kept("only-declared-listeners", listening(socket_line("00000000:9C40", "07"), "udp")())


def test_a_pod_is_not_asked_for_what_its_specification_cannot_say() -> None:
    for break_it in (mounted(" /tmp rw,nosuid,nodev,noexec,", " /tmp rw,"), entries("/tmp", mode=0o777)):
        made = break_it()
        assert not kept("memory-mounts", made)
        assert kept(
            "memory-mounts", dataclasses.replace(made, outside=dataclasses.replace(made.outside, backend="kubectl"))
        )


def test_an_unready_program_that_nobody_requires_is_no_violation() -> None:
    assert kept("programs-ready", view("extra", state=snapshot.FAILED, reason="gone")())


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {answers.DETAIL: 200}),
        ({"host": "0.0.0.0"}, {answers.DETAIL: 200}),
        ({"host": "10.0.0.5"}, {answers.DETAIL: 403}),
        ({"detail": serving.DetailPlan(serving.SOCKET, None, None, None)}, {answers.DETAIL: 404}),
        ({"detail": serving.DetailPlan(serving.OPEN, None, None, "/t")}, {answers.DETAIL: 401}),
        ({"detail": serving.DetailPlan(serving.OWN, "::", 8081, None)}, {answers.DETAIL: 200, answers.ELSEWHERE: 404}),
    ],
)  # fmt: skip
def test_who_is_answered_detail_follows_from_the_plan(changes: dict[str, Any], wanted: dict[str, int]) -> None:
    assert answers.detail_statuses(boots.listening(**changes)) == wanted


def test_under_program_users_each_process_has_its_programs_user() -> None:
    made = conforming.subject()
    users = tuple(
        dataclasses.replace(one, user=plan.provisions.User(2001, 2001)) if one.name == "api" else one
        for one in made.plan.programs
    )
    apart = dataclasses.replace(made, plan=dataclasses.replace(made.plan, programs=users))
    found = promise.verdict(BY_NAME["user"], apart)
    assert [str(one) for one in found.violations] == [
        "process 20 (/opt/box/api): it runs as uid 1000 and gid 1000, and the plan says 2001:2001 (run the container as user 2001:2001)"
    ]


def test_the_documentation_has_every_promise_in_its_own_words() -> None:
    text = (pathlib.Path(__file__).parents[3] / "docs" / "conformance.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for one in promises.PROMISES:
        assert f"| `{one.name}` | {one.says} |" in rows
    assert f"{len(promises.PROMISES)} promises" in text


def test_a_promise_is_said_in_one_sentence_on_one_line() -> None:
    for one in promises.PROMISES:
        assert one.says.endswith(".") and "\n" not in one.says, one.name
