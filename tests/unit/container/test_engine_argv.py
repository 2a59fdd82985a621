"""``podman run`` and ``docker run``: what a shell makes of the text, and what the engines say differently."""

import json
import subprocess

import hypothesis
import pytest

from container import engine_argv, rendering
from manifest import hardening, provisions
from tests.unit import boots
from tests.unit.container import rendered

PODMAN, DOCKER = engine_argv.PODMAN, engine_argv.DOCKER
FILES = {"db-password": "/srv/db"}


def argv(made, engine, **changes):
    return engine_argv.argv(rendered.loaded(made), rendered.options(**changes), engine)


def through_a_shell(text, engine):
    """Return the words that a real shell gives the engine; ``${0}`` and friends would show."""
    script = f"{engine}() {{ printf '%s\\0' {engine} \"$@\"; }}\n{text}"
    done = subprocess.run(
        ["/bin/sh", "-eu"], input=script, capture_output=True, text=True, check=True, env={"HOME": "/wrong"}
    )
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("engine", [PODMAN, DOCKER])
def test_a_shell_gives_the_engine_exactly_these_words(engine):
    made = rendered.everything(
        security=boots.security(
            tmpfs=tuple(
                hardening.Tmpfs(path, 4096, 0o755, executable=False, owner=None)
                for path in (
                    "/srv/$HOME",
                    "/srv/$(id)",
                    "/srv/*",
                    "/srv/~",
                    "/srv/#a",
                    "/srv/a&b",
                    "/srv/a|b",
                    "/srv/{a}",
                    "/srv/!x",
                    "/srv/é",
                )
            )
        )
    )
    text = engine_argv.render(rendered.loaded(made), rendered.options(secret_files=FILES), engine)
    assert through_a_shell(text, engine) == argv(made, engine, secret_files=FILES)


@hypothesis.given(made=rendered.plans())
@hypothesis.settings(max_examples=15, deadline=None)
def test_whatever_a_plan_asks_for_a_shell_gives_the_engine_exactly_these_words(made):
    text = engine_argv.render(rendered.loaded(made), rendered.options(), PODMAN)
    assert through_a_shell(text, PODMAN) == argv(made, PODMAN)


def test_it_stands_one_option_a_line():
    text = engine_argv.render(rendered.loaded(boots.make_plan()), rendered.options(), PODMAN)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == "podman run \\"
    assert all(line.lstrip(" '").startswith("--") and line.endswith(" \\") for line in lines[1:-1])
    assert lines[-1] == f"    {rendered.IMAGE.reference}"


def test_podman_gives_a_mount_to_the_containers_user_and_docker_to_a_number():
    made = rendered.everything()
    assert all(one.endswith(",U") for one in rendered.values(argv(made, PODMAN), "tmpfs"))
    mounts = rendered.values(argv(made, DOCKER, secret_files=FILES), "tmpfs")
    assert mounts[0].endswith(",uid=4000,gid=5000")
    assert mounts[1].startswith("/run/user:")
    assert mounts[1].endswith(",uid=7,gid=8")


def test_podman_has_secrets_of_its_own_and_docker_mounts_the_operators_files():
    made = rendered.everything()
    [secret] = rendered.values(argv(made, PODMAN), "secret")
    assert secret == "shop-db-password,type=mount,target=/run/secrets/db-password,uid=4000,gid=5000,mode=0400"
    for engine in PODMAN, DOCKER:
        words = argv(made, engine, secret_files=FILES)
        assert "--mount=type=bind,source=/srv/db,target=/run/secrets/db-password,readonly" in words
        assert not [word for word in words if word.startswith("--volume=/")], "docker makes what is missing there"
        assert not rendered.values(words, "secret")
    with pytest.raises(
        rendering.CannotRender, match=r"secrets db-password: docker has no secrets .*--secret-file NAME=/PATH"
    ):
        argv(made, DOCKER)


def test_podmans_secrets_at_its_own_place_have_a_mount_to_lie_in():
    room = "/run/secrets:rw,nosuid,nodev,noexec,size=65536,mode=0755,U"
    assert room in rendered.values(argv(rendered.everything(), PODMAN), "tmpfs")
    assert room not in rendered.values(argv(rendered.everything(), PODMAN, secret_files=FILES), "tmpfs")
    elsewhere = (boots.secret("db-password", "api", generate_bytes=None, mounted="/etc/secrets/db"),)
    assert room not in rendered.values(argv(rendered.everything(secrets=elsewhere), PODMAN), "tmpfs")
    own = boots.security(tmpfs=(hardening.Tmpfs("/run/secrets", 4096, 0o700, executable=False, owner=None),))
    assert len(rendered.values(argv(rendered.everything(security=own), PODMAN), "tmpfs")) == 1


@pytest.mark.parametrize(
    ("runtime", "gpu", "of_podman", "of_docker"),
    [
        (None, None, [], []),
        ("nvidia", hardening.NVIDIA, ["--device=nvidia.com/gpu=all"], ["--gpus=all", "--runtime=nvidia"]),
        (None, hardening.NVIDIA, ["--device=nvidia.com/gpu=all"], ["--gpus=all"]),
        ("runsc", None, ["--runtime=runsc"], ["--runtime=runsc"]),
        (None, hardening.AMD, [], []),
    ],
)
def test_gpus_and_runtimes_are_said_in_each_engines_words(runtime, gpu, of_podman, of_docker):
    made = boots.make_plan(security=boots.security(runtime=runtime, gpu=gpu))
    for engine, expected in ((PODMAN, of_podman), (DOCKER, of_docker)):
        found = [word for word in argv(made, engine) if word.startswith(("--device", "--gpus", "--runtime"))]
        assert sorted(found) == sorted(expected), engine


def test_podmans_runtime_stands_before_its_command():
    made = boots.make_plan(security=boots.security(runtime="runsc"))
    assert argv(made, PODMAN)[:3] == ["podman", "--runtime=runsc", "run"]
    text = engine_argv.render(rendered.loaded(made), rendered.options(), PODMAN)
    assert "\npodman --runtime=runsc run \\\n" in text


def test_the_check_of_readiness_needs_no_shell_where_the_engine_can_do_without():
    [of_podman] = rendered.values(argv(boots.make_plan(), PODMAN), "health-cmd")
    assert json.loads(of_podman) == list(rendering.READY_COMMAND)
    [of_docker] = rendered.values(argv(boots.make_plan(), DOCKER), "health-cmd")
    assert of_docker.split() == list(rendering.READY_COMMAND)


def test_only_docker_is_told_how_a_volume_comes_to_its_user():
    made = rendered.everything()
    [line] = [one for one in engine_argv.needs(made, rendered.options(), DOCKER) if "volume" in one]
    assert "--entrypoint=chown" in line
    assert line.endswith(" 4000:5000 /var/lib/shop`")
    [line] = [one for one in engine_argv.needs(made, rendered.options(), PODMAN) if "volume" in one]
    assert "chown" not in line


def test_under_program_users_pid_1_is_root_with_just_the_capabilities_that_takes():
    security = boots.security(user=provisions.User(0, 0), capabilities=hardening.PROGRAM_USERS_CAPABILITIES)
    for engine in PODMAN, DOCKER:
        words = argv(boots.make_plan(security=security), engine)
        assert rendered.values(words, "user") == ["0:0"]
        assert rendered.values(words, "cap-drop") == ["ALL"]
        assert rendered.values(words, "cap-add") == ["CHOWN", "KILL", "SETGID", "SETUID"]


def test_dockers_profile_is_never_said_to_be_made_of_podmans():
    """Its own permits unshare and mount, which docker's does not."""
    made = boots.make_plan(security=boots.security(denied_syscalls=("bpf",)))
    [of_docker] = [one for one in engine_argv.needs(made, rendered.options(), DOCKER) if "seccomp" in one]
    assert "`bootseal render seccomp --default FILE -o /etc/bootseal/shop.seccomp.json`" in of_docker
    [of_podman] = [one for one in engine_argv.needs(made, rendered.options(), PODMAN) if "seccomp" in one]
    assert of_podman.endswith("`bootseal render seccomp -o /etc/bootseal/shop.seccomp.json`")
    assert of_docker.removeprefix("needs ") in rendered.texts(made)["compose"]
