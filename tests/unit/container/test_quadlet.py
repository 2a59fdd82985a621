"""The Quadlet unit, held against the documented keys; no systemd and no podman that has Quadlet runs it here.

Quadlet came with podman 4.4 and the tests' engine is 4.3: what these tests do not show is that systemd starts it.
"""

import hypothesis
import pytest
from hypothesis import strategies as st

from container import quadlet, rendering
from manifest import hardening
from tests.unit import boots
from tests.unit.container import quadlet_keys, rendered

OLDEST = tuple(int(part) for part in quadlet.OLDEST.split("."))


def text(made, **changes):
    return quadlet.render(rendered.loaded(made), rendered.options(**changes))


def container(made, **changes):
    return rendered.unit(text(made, **changes))["Container"]


PLANS = {
    "least": boots.make_plan(),
    "everything": rendered.everything(),
    "runtime": boots.make_plan(security=boots.security(runtime="runsc")),
}


@pytest.mark.parametrize("name", PLANS)
def test_every_key_is_one_that_the_oldest_podman_knows(name):
    for key, _ in container(PLANS[name]):
        assert key in quadlet_keys.CAME_WITH, f"{key} is no key of Quadlet's"
        assert quadlet_keys.CAME_WITH[key] <= OLDEST, f"{key} came with podman {quadlet_keys.CAME_WITH[key]}"


@hypothesis.given(made=rendered.plans())
@hypothesis.settings(max_examples=20, deadline=None)
def test_whatever_a_plan_asks_for_every_key_is_known_and_only_lists_repeat(made):
    keys = [key for key, _ in container(made)]
    assert all(quadlet_keys.CAME_WITH[key] <= OLDEST for key in keys)
    assert {key for key in keys if keys.count(key) > 1} <= quadlet_keys.MANY


def test_a_key_that_came_later_is_said_as_an_option():
    words = [value for key, value in container(rendered.everything()) if key == "PodmanArgs"]
    for option in ("--memory=", "--cpus=", "--stop-timeout=", "--stop-signal=", "--group-add=109", "--env=TZ"):
        assert any(word.startswith(option) for word in words), option
    assert all(len(word.split()) == 1 for word in words), "each is one word: Quadlet splits them at blanks"


ODD = "/srv/%n/%h/$HOME/${x}/%%"


def test_what_systemd_would_expand_stands_for_itself():
    made = boots.make_plan(
        security=boots.security(tmpfs=(hardening.Tmpfs(ODD, 4096, 0o755, executable=False, owner=None),)),
        deploy=hardening.DeployPlan(None, 1, (hardening.Volume("data", f"{ODD}/data", 2**30),)),
    )
    raw = text(made)
    assert "Tmpfs=/srv/%%n/%%h/$$HOME/$${x}/%%%%:rw" in raw
    entries = container(made)
    [mount] = [value for key, value in entries if key == "Tmpfs"]
    assert mount.partition(":")[0] == ODD
    assert ("Volume", f"shop-data:{ODD}/data") in entries


@hypothesis.given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(lambda one: f"/srv/{one}"),
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_no_path_leaves_its_line_or_becomes_another_key(path):
    made = boots.make_plan(
        security=boots.security(tmpfs=(hardening.Tmpfs(path, 4096, 0o755, executable=False, owner=None),))
    )
    try:
        entries = container(made)
    except rendering.CannotRender:
        assert any(one.isspace() or one in ":,;\"'`\\" or ord(one) < 0x20 or one == "\x7f" for one in path)
        return
    assert [value.partition(":")[0] for key, value in entries if key == "Tmpfs"] == [path]
    assert [key for key, _ in entries] == [
        key for key, _ in container(boots.make_plan(security=boots.security(tmpfs=made.security.tmpfs[:1])))
    ]
    assert len(entries) == len(container(boots.make_plan())) - 1


def test_variables_are_read_from_a_file_and_passed_by_name():
    found = rendered.unit(text(rendered.everything()))
    assert ("EnvironmentFile", "-%E/shop.env") in found["Service"]
    assert not [key for key, _ in found["Container"] if key in {"Environment", "EnvironmentHost", "EnvironmentFile"}]
    assert "EnvironmentFile" not in text(boots.make_plan(identity=boots.identity()))


def test_systemd_waits_longer_than_podman_and_podman_longer_than_the_budget():
    found = rendered.unit(text(rendered.everything()))
    [of_podman] = [
        int(value.partition("=")[2]) for key, value in found["Container"] if value.startswith("--stop-timeout")
    ]
    of_systemd = int(dict(found["Service"])["TimeoutStopSec"])
    assert rendered.everything().stop.budget_seconds < of_podman < of_systemd
    assert dict(found["Service"])["Restart"] == "always"


def test_it_is_one_file_of_the_sections_that_systemd_and_podman_know():
    assert list(rendered.unit(text(rendered.everything()))) == ["Unit", "Container", "Service", "Install"]


def test_secrets_are_podmans_own_or_the_operators_files():
    given = dict(container(rendered.everything()))
    assert given["Secret"].startswith("shop-db-password,type=mount,target=/run/secrets/db-password,")
    files = container(rendered.everything(), secret_files={"db-password": "/srv/db%pw"})
    assert ("Volume", "/srv/db%pw:/run/secrets/db-password:ro") in files
    assert "Secret" not in dict(files)


def test_gpus_and_runtimes_are_said_in_podmans_words():
    assert ("GlobalArgs", "--runtime=runsc") in container(PLANS["runtime"])
    security = boots.security(runtime="nvidia", gpu=hardening.NVIDIA)
    found = container(boots.make_plan(security=security))
    assert ("AddDevice", "nvidia.com/gpu=all") in found
    assert "GlobalArgs" not in dict(found)


def test_systemd_never_gives_up_because_the_ends_came_quickly():
    """DefaultStartLimitBurst=5 within DefaultStartLimitIntervalSec=10s (systemd-system.conf(5))."""
    assert int(dict(rendered.unit(text(boots.make_plan()))["Service"])["RestartSec"]) * 5 > 10


def test_a_profile_is_named_from_the_root_where_systemd_starts_podman():
    made = boots.make_plan(security=boots.security(denied_syscalls=("bpf",)))
    assert ("SeccompProfile", "/srv/n.json") in container(made, seccomp="/srv/n.json")
    with pytest.raises(rendering.CannotRender, match="--seccomp /PATH"):
        text(made, seccomp="n.json")
