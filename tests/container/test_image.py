"""The image: nothing in it that does not run, nothing in it that its user can change, and built offline from a lock."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from container import compose
from manifest import exposure, plan
from tests.container import box, conftest
from tests.unit.container import rendered

pytestmark = pytest.mark.container

ENTRYPOINT = [
    *("/usr/bin/env", "--block-signal=TERM,INT,QUIT,HUP"),
    *("/opt/bootseal/bin/python", "-I", "-X", "utf8", "-m", "entrypoint", "boot", "--plan", "/opt/bootseal/etc"),
]


def config(image: str) -> dict[str, Any]:
    return dict(json.loads(box.engine_ok("inspect", "--type=image", image))[0]["Config"])


def test_the_image_says_how_it_starts_and_stops(hello_image: str) -> None:
    found = config(hello_image)
    assert found["Entrypoint"] == ENTRYPOINT
    assert found["User"] == "1000:1000"
    assert found["StopSignal"] in {"SIGTERM", "15"}
    assert found.get("Cmd") is None
    labels = found["Labels"]
    assert labels["org.opencontainers.image.title"] == "hello"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert "io.buildah.version" not in labels, "the engine that built it is no part of it"


def test_the_labels_are_those_of_the_plan_in_the_image(request: pytest.FixtureRequest) -> None:
    for name in ("hello", "shop"):
        sealed: box.Box = request.getfixturevalue(name)
        data = sealed.host.file("/opt/bootseal/etc/plan.json").content
        labels = config(request.getfixturevalue(f"{name}_image"))["Labels"]
        assert labels["io.bootseal.plan.sha256"] == hashlib.sha256(data).hexdigest()
        assert labels["io.bootseal.manifest.sha256"] == json.loads(data)["manifest_sha256"]
        assert labels["io.bootseal.lock.sha256"] == json.loads(data)["lock"]["sha256"]


def exposed(image: str) -> set[str]:
    return set(config(image).get("ExposedPorts") or ())


def test_an_image_exposes_the_ports_that_its_plan_has_for_others(
    hello_image: str, shop_image: str, tmp_path: pathlib.Path
) -> None:
    assert exposed(hello_image) == set(), "it listens on loopback alone"
    assert exposed(shop_image) == {"8000/tcp", "8080/tcp", "9091/tcp"}
    app = tmp_path / "ports"
    shutil.copytree(box.PROJECT / "examples" / "hello", app)
    manifest = app / "bootseal.yaml"
    served = 'probes: {listen: "0.0.0.0:18080", metrics: "127.0.0.1:19091", detail: {listen: "[::]:18081", token: {file: /t}}}'
    changed = re.sub(r"^probes: .*$", served, manifest.read_text(), flags=re.MULTILINE)
    assert changed != manifest.read_text()
    manifest.write_text(changed)
    image = conftest.build(str(app))
    try:
        assert exposed(image) == {"18080/tcp", "18081/tcp"}
        assert config(image)["Entrypoint"] == ENTRYPOINT
    finally:
        box.engine_ok("rmi", "--no-prune", image)  # what it is made upon may be part of another build just now


def test_what_is_exposed_is_said_by_the_plan_in_the_image(request: pytest.FixtureRequest) -> None:
    for name in ("hello", "shop"):
        sealed: box.Box = request.getfixturevalue(name)
        data = sealed.host.file("/opt/bootseal/etc/plan.json").content
        made = plan.parse(data, "plan.json")
        ports = exposure.exposed_ports(made)
        assert exposed(request.getfixturevalue(f"{name}_image")) == {f"{port}/tcp" for port in ports}
        [service] = compose.document(rendered.loaded(made), rendered.options())["services"].values()
        assert {one["target"] for one in service.get("ports", [])} == {*ports}, (
            "Compose publishes what the image exposes"
        )


def test_nothing_of_the_product_can_be_changed_by_its_user(sealed: box.Box) -> None:
    search = "find /opt /usr/local ! -type l \\( ! -user root -o ! -group root -o -perm /022 \\)"
    done = sealed.run("sh", "-c", search)
    assert (done.returncode, done.stdout) == (0, "")


def test_no_installer_and_no_cache_is_left(sealed: box.Box) -> None:
    names = ["pip", "ensurepip", "wheel", "setuptools", "pytest", "hypothesis"]
    search = f"import importlib.util; print([name for name in {names} if importlib.util.find_spec(name)])"
    assert sealed.python(search).strip() == "[]"
    found = sealed.run("sh", "-c", "ls /opt/bootseal/bin; ls -d /wheels /installer /product /root/.cache 2>/dev/null")
    assert all(name.startswith("python") for name in found.stdout.split()), found.stdout


def test_all_bytecode_is_there_and_checked_by_hash(sealed: box.Box) -> None:
    """Without it every start would compile (the image is read-only): 330 ms instead of 70 for supervisord alone."""
    search = (
        "import glob, importlib.util, struct\n"
        "for path in glob.glob('/opt/**/*.py', recursive=True):\n"
        "    try:\n"
        "        flags = struct.unpack('<4xL', open(importlib.util.cache_from_source(path), 'rb').read(8))[0]\n"
        "    except FileNotFoundError:\n"
        "        flags = None\n"
        "    if flags != 0b11:\n"
        "        print(path, flags)\n"
    )
    assert sealed.python(search) == ""


def test_no_file_runs_as_somebody_else(sealed: box.Box) -> None:
    done = sealed.run("find", "/", "-xdev", "-type", "f", "-perm", "/6000")
    assert done.stdout == ""


def test_nothing_of_the_building_machine_is_in_the_image(sealed: box.Box) -> None:
    for left in ("/etc/apt/apt.conf.d/99host", "/etc/apt/host-certificates.crt", "/usr/sbin/policy-rc.d"):
        assert not sealed.host.file(left).exists, left
    assert sealed.host.file("/var/lib/apt/lists").listdir() == []
    assert sealed.host.file("/etc/machine-id").content == b""


def test_the_generated_files_are_what_the_manifest_says(sealed: box.Box) -> None:
    name = json.loads(sealed.host.file("/opt/bootseal/etc/plan.json").content_string)["name"]
    done = sealed.run("bootseal", "build", f"/opt/{name}/bootseal.yaml", "-o", "/opt/bootseal/etc", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plan_was_proven_with_the_supervisor_of_the_image(sealed: box.Box) -> None:
    plan = json.loads(sealed.host.file("/opt/bootseal/etc/plan.json").content_string)
    installed = sealed.python("import importlib.metadata; print(importlib.metadata.version('supervisor'))")
    assert plan["proven_with"] == installed.strip()


def versions(words: list[str]) -> dict[str, str]:
    """Map normalised names (PEP 503) to versions, from words like ``name==version``."""
    pairs = (word.split("==") for word in words if "==" in word)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def test_every_distribution_in_the_image_is_locked(sealed: box.Box) -> None:
    locked = versions((box.PROJECT / "container" / "requirements.txt").read_text().split())
    listing = (
        "import importlib.metadata, site\n"
        "for found in importlib.metadata.distributions(path=site.getsitepackages()[:1]):\n"
        "    print(f'{found.name}=={found.version}')\n"
    )
    installed = versions(sealed.python(listing).split())
    assert installed.pop("bootseal")
    assert locked.pop("pip")
    assert installed == locked


def test_the_same_sources_have_the_same_image_wherever_they_lie(tmp_path: pathlib.Path) -> None:
    """A copy is built, twice; while the sources are not edited meanwhile, that is the image of the other tests."""
    assert box.script("wheels", "sources", str(tmp_path)).returncode == 0
    shutil.copytree(box.PROJECT / "examples" / "hello", tmp_path / "examples" / "hello")
    command = [str(tmp_path / "container" / "image"), "hello"]
    environment = {**os.environ, "BOOTSEAL_PYTHON": sys.executable}
    first = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert first.returncode == 0, first.stderr
    alias = "localhost/bootseal-test:alias"
    again = subprocess.run([*command, alias], capture_output=True, text=True, check=True, env=environment)
    assert (again.stdout, again.stderr) == (first.stdout, "")
    form = ("inspect", "--type=image", "--format={{.Id}}")
    assert box.engine_ok(*form, alias) == box.engine_ok(*form, first.stdout.strip())
    box.engine_ok("untag", alias, alias)


@pytest.mark.parametrize("script", ["engine", "base-image", "image", "wheels"])
def test_the_scripts_are_sound(script: str) -> None:
    """Bash parses them, and they fail at the first error."""
    path = box.PROJECT / "container" / script
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert "set -euo pipefail" in pathlib.Path(path).read_text()


@pytest.mark.parametrize("package", ["--force-yes", "Nginx", "a;b", ""])
def test_a_wrong_package_name_is_refused_before_anything_is_built(package: str) -> None:
    done = box.script("base-image", "python3", package)
    assert done.returncode == 1
    assert "is not a Debian package name" in done.stderr
