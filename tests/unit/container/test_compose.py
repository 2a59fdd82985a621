"""The Compose file, read by what we did not write: the specification's own JSON Schema, and podman-compose."""

import json
import os
import pathlib
import subprocess
import sys

import hypothesis
import jsonschema
import pytest
import yaml

from container import compose
from manifest import hardening
from tests.unit import boots
from tests.unit.container import rendered

SCHEMA = pathlib.Path(__file__).parent / "compose-spec" / "compose-spec.json"
PODMAN_COMPOSE = pathlib.Path(sys.prefix) / "bin" / "podman-compose"


@pytest.fixture(scope="module")
def schema():
    value = json.loads(SCHEMA.read_bytes())
    judge = jsonschema.validators.validator_for(value)
    judge.check_schema(value)
    return judge(value)


def text(made, **changes):
    return compose.render(rendered.loaded(made), rendered.options(**changes))


def faults(schema, document):
    return [error.message for error in schema.iter_errors(document)]


PLANS = {
    "least": boots.make_plan(),
    "everything": rendered.everything(),
    "files": rendered.everything(),
    "amd": boots.make_plan(security=boots.security(gpu=hardening.AMD, devices=(hardening.Device("/dev/kfd", "rw"),))),
}


@pytest.mark.parametrize("name", PLANS)
def test_it_is_what_the_compose_specification_says(schema, name):
    files = {"db-password": "/srv/db"} if name == "files" else {}
    assert faults(schema, yaml.safe_load(text(PLANS[name], secret_files=files))) == []


@hypothesis.given(made=rendered.plans())
@hypothesis.settings(max_examples=30, deadline=None)
def test_whatever_a_plan_asks_for_it_is_what_the_compose_specification_says(schema, made):
    assert faults(schema, yaml.safe_load(text(made))) == []


def test_the_schema_refuses_what_is_wrong(schema):
    document = yaml.safe_load(text(boots.make_plan()))
    document["services"]["shop"]["readonly"] = True
    assert faults(schema, document)
    del document["services"]["shop"]["readonly"]
    document["services"]["shop"]["pids_limit"] = ["many"]
    assert faults(schema, document)


def test_podman_compose_reads_the_same_from_it(tmp_path):
    if not PODMAN_COMPOSE.exists():
        needs = f"{PODMAN_COMPOSE}: install the extra `test`"
        pytest.fail(needs) if os.environ.get("CI") else pytest.skip(needs)
    written = text(rendered.everything(), secret_files={"db-password": "/srv/db$word"})
    file = tmp_path / "compose.yaml"
    file.write_text(written)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "API_KEY": rendered.SECRET_VALUE}
    command = [str(PODMAN_COMPOSE), "-f", str(file), "config"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    there, here = yaml.safe_load(done.stdout), yaml.safe_load(written)
    assert there["secrets"] == {"shop-db-password": {"file": "/srv/db$word"}}, "a dollar is a dollar"
    [found], [wanted] = there["services"].values(), here["services"].values()
    assert set(found) == set(wanted)
    for key in set(wanted) - {"environment"}:
        assert found[key] == wanted[key], key
    assert list(found["environment"]) == wanted["environment"]


def test_a_dollar_stands_for_itself():
    made = boots.make_plan(
        security=boots.security(tmpfs=(hardening.Tmpfs("/srv/${HOME}/$x", 4096, 0o755, executable=False, owner=None),))
    )
    [mount] = rendered.service(text(made))["tmpfs"]
    assert mount.startswith("/srv/$${HOME}/$$x:")


@pytest.mark.parametrize(
    "odd",
    ["/srv/#x", "/srv/é", "/srv/{a}", "/srv/[a]", "/srv/!x", "/srv/&a", "/srv/*a", "/srv/%x", "/srv/|", "/srv/>-"],
)
def test_what_yaml_could_take_for_syntax_comes_back_as_it_was(odd):
    made = boots.make_plan(deploy=hardening.DeployPlan(None, 1, (hardening.Volume("data", odd, 2**30),)))
    assert rendered.service(text(made))["volumes"] == [{"type": "volume", "source": "data", "target": odd}]


def test_a_secret_is_the_operators_file_where_one_is_named_and_external_where_not():
    external = yaml.safe_load(text(rendered.everything()))
    assert external["secrets"] == {"shop-db-password": {"external": True}}
    granted = {
        "source": "shop-db-password",
        "target": "/run/secrets/db-password",
        "uid": "4000",
        "gid": "5000",
        "mode": "0400",
    }
    assert external["services"]["shop"]["secrets"] == [granted]
    named = yaml.safe_load(text(rendered.everything(), secret_files={"db-password": "/srv/db"}))
    assert named["secrets"] == {"shop-db-password": {"file": "/srv/db"}}
    assert named["services"]["shop"]["secrets"] == [
        {"source": "shop-db-password", "target": "/run/secrets/db-password"}
    ]


def test_every_volume_and_secret_that_the_service_uses_is_declared():
    document = yaml.safe_load(text(rendered.everything()))
    one = document["services"]["shop"]
    assert {volume["source"] for volume in one["volumes"]} == set(document["volumes"])
    assert {secret["source"] for secret in one["secrets"]} == set(document["secrets"])


def test_gpus_of_nvidia_are_reserved_and_amds_are_devices():
    nvidia = rendered.service(text(rendered.everything()))
    [device] = nvidia["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert nvidia["runtime"] == "crun-vm"
    amd = rendered.service(text(PLANS["amd"]))
    assert "deploy" not in amd
    assert amd["devices"] == ["/dev/kfd:/dev/kfd:rw"]


def test_a_file_system_in_memory_belongs_to_its_owner():
    mounts = {one.partition(":")[0]: one.split(",") for one in rendered.service(text(rendered.everything()))["tmpfs"]}
    assert {"uid=4000", "gid=5000"} <= set(mounts["/run"])
    assert {"uid=7", "gid=8"} <= set(mounts["/run/user"])
