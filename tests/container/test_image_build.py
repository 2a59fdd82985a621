"""Images that are built for real, by a bootseal that was installed from its wheel: the same bytes each time, and labels that are true.

The application is the one that ``bootseal init`` writes. Two builds serve all tests: podman's with its cache, and buildah's without,
of a copy elsewhere and with wheels from an index.
"""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cyclonedx import schema
from cyclonedx.validation import json as validators

from container import engines, product
from manifest import exposure, plan
from tests.container import box

pytestmark = pytest.mark.container

EPOCH = 1700000000
CREATED = "2023-11-14T22:13:20Z"


@pytest.fixture(scope="module")
def buildah() -> None:
    """The other engine is there; in CI it must be."""
    if not shutil.which("buildah"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("buildah is not there (apt-get install buildah)")


@pytest.fixture(scope="module")
def wheel(machine: None, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel of bootseal, built from this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [str(box.PROJECT / "container" / "wheels"), "product", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    [path] = directory.iterdir()
    return path


@pytest.fixture(scope="module")
def bootseal(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of an installation from the wheel; what it depends on is this environment's."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = str(place / "bin" / "python")
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, str(wheel)], check=True)
    [site] = place.glob("lib/python3*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "rest.pth").write_text(f"{here}\n")
    return str(place / "bin" / "bootseal")


@pytest.fixture(scope="module")
def app(bootseal: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What ``init`` writes, and an artifact besides."""
    directory = tmp_path_factory.mktemp("app") / "starter"
    subprocess.run([bootseal, "init", directory], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    (directory / "data.txt").write_text("what it runs on\n")
    with (directory / "bootseal.yaml").open("a") as file:
        file.write('artifacts: {data: "${here}/data.txt"}\n')
    return directory


class Index(http.server.BaseHTTPRequestHandler):
    """A package index (PEP 503) of the wheels in ``directories``."""

    def __init__(self, directories: list[pathlib.Path], *rest: Any) -> None:
        self.files = {path.name: path for directory in directories for path in directory.glob("*.whl")}
        super().__init__(*rest)

    def do_GET(self) -> None:
        kind, name, *_ = self.path.strip("/").split("/")
        matches = (file for file in self.files if re.sub(r"[-_.]+", "-", file.split("-")[0]).lower() == name)
        links = "".join(f'<a href="/files/{file}">{file}</a>' for file in matches)
        data = self.files[name].read_bytes() if kind == "files" else links.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def index_of(*directories: pathlib.Path) -> Iterator[str]:
    """Serve an index on loopback, where a build in a chroot reaches it; yield its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Index, list(directories)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def built(bootseal: str, directory: pathlib.Path, *options: str, **environment: str) -> dict[str, Any]:
    base = box.script("base-image").stdout.strip()
    command = [bootseal, "image", "build", str(directory), "--base", base, "--format", "json", *options]
    known = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=known, cwd="/")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def image(bootseal: str, app: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The image as podman builds it, with what its cache has, and its bill of materials."""
    bill = tmp_path_factory.mktemp("bill") / "starter.cdx.json"
    made = built(
        bootseal, app, "--sbom", str(bill), "--label", "org.opencontainers.image.source=https://example.org/starter"
    )
    yield made
    box.engine("rmi", "--no-prune", made["image"])


def inspected(name: str) -> dict[str, Any]:
    return dict(json.loads(box.engine_ok("inspect", "--type=image", name))[0])


def test_what_init_writes_boots_here_as_well(bootseal: str, app: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    command = [bootseal, "up", str(app / "bootseal.yaml"), "--until-ready", "--listen", listen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=box.PATIENCE_SECONDS * 2)
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_builds_by_two_engines_and_from_an_index_give_the_same_image(
    buildah: None, image: dict[str, Any], bootseal: str, app: pathlib.Path, wheel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The second one uses no cache, another folder with other times and modes, and wheels that it fetches by their hashes."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(app, copy)
    for path in copy.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    wheels = pathlib.Path(product.locked_wheels(platform.machine()))
    options = (
        "--engine",
        "buildah",
        "--no-cache",
        "--from-index",
        "--label",
        "org.opencontainers.image.source=https://example.org/starter",
    )
    before = os.umask(0o077)
    try:
        with index_of(wheel.parent, wheels) as url:
            again = built(bootseal, copy, *options, PIP_INDEX_URL=url, TMPDIR=str(tmp_path))
    finally:
        os.umask(before)
    assert again["new"]
    assert (again["image"], again["id"], again["digest"]) == (image["image"], image["id"], image["digest"])


def test_it_is_found_built_and_gets_another_name(image: dict[str, Any], bootseal: str, app: pathlib.Path) -> None:
    options = (
        "--label",
        "org.opencontainers.image.source=https://example.org/starter",
        "--tag",
        "localhost/bootseal-test:starter",
    )
    again = built(bootseal, app, *options)
    try:
        assert not again["new"] and again["id"] == image["id"]
        assert inspected("localhost/bootseal-test:starter")["Id"] == image["id"].removeprefix("sha256:")
    finally:
        box.engine_ok("untag", "localhost/bootseal-test:starter", "localhost/bootseal-test:starter")


def test_every_time_in_it_is_the_one_that_was_asked_for(image: dict[str, Any]) -> None:
    """Those of the base are its own; its layers are the first."""
    base = len(inspected(image["base"]["name"])["History"])
    found = inspected(image["image"])
    assert found["Created"] == CREATED
    assert {one["created"] for one in found["History"][base:]} == {CREATED}
    look = "import os; print({os.lstat(os.path.join(here, name)).st_mtime for top in ('/opt', '/usr/local/bin') for here, dirs, files in os.walk(top) for name in (*dirs, *files)})"
    done = box.engine_ok(
        "run", "--rm", "--network=none", "--entrypoint=/opt/bootseal/bin/python", image["image"], "-I", "-c", look
    )
    assert done == f"{{{EPOCH}.0}}"


@pytest.fixture(scope="module")
def inside(image: dict[str, Any]) -> Iterator[box.Box]:
    """A container of it, hardened, sealed; tests look at it and change nothing."""
    started = box.Box(image["image"], *box.HARDENED, *box.USER, *box.TMPFS)
    try:
        started.wait_until_sealed()
        yield started
    finally:
        started.remove()


def test_what_it_says_of_itself_is_what_lies_in_it(image: dict[str, Any], inside: box.Box) -> None:
    data = inside.host.file("/opt/bootseal/etc/plan.json").content
    made = plan.parse(data, "plan.json")
    lock = inside.host.file("/opt/bootseal/etc/closures.lock").content
    manifest = inside.host.file(f"/opt/{made.name}/bootseal.yaml").content
    config = inspected(image["image"])["Config"]
    labels = config["Labels"]
    assert labels["io.bootseal.plan.sha256"] == hashlib.sha256(data).hexdigest()
    assert made.lock is not None
    assert labels["io.bootseal.lock.sha256"] == hashlib.sha256(lock).hexdigest() == made.lock.sha256
    assert labels["io.bootseal.manifest.sha256"] == hashlib.sha256(manifest).hexdigest() == made.manifest_sha256
    assert labels["org.opencontainers.image.title"] == made.name == "starter"
    assert labels["org.opencontainers.image.version"] == labels["io.bootseal.version"] == made.bootseal
    assert labels["org.opencontainers.image.created"] == CREATED
    assert labels["org.opencontainers.image.source"] == "https://example.org/starter"
    base = inspected(image["base"]["name"])
    assert labels["org.opencontainers.image.base.name"] == image["base"]["name"]
    assert labels["org.opencontainers.image.base.digest"] == base["Digest"]
    assert labels["bootseal.plan"] == "/opt/bootseal/etc/plan.json"
    assert set(config["ExposedPorts"]) == {f"{port}/tcp" for port in exposure.exposed_ports(made)} == {"8080/tcp"}


def test_the_bill_of_materials_lists_exactly_what_dpkg_and_python_say(image: dict[str, Any], inside: box.Box) -> None:
    text = pathlib.Path(image["sbom"]["file"]).read_text()
    assert hashlib.sha256(text.encode()).hexdigest() == image["sbom"]["sha256"]
    assert validators.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None
    value = json.loads(text)
    subject = value["metadata"]["component"]
    assert subject["version"] == image["id"] and image["digest"] in subject["purl"]
    purls = [one["purl"] for one in value["components"] if "purl" in one]
    debian = {purl.split("/")[-1].split("@")[0] for purl in purls if purl.startswith("pkg:deb/debian/")}
    dpkg = inside.run("dpkg-query", "--show", "--showformat", "${Package}\n").stdout.split()
    assert debian == {name.replace("+", "%2B") for name in dpkg} and len(debian) > 50
    listing = "import importlib.metadata as m; print(*sorted(one.name for one in m.distributions()))"
    python = inside.python(listing).split()
    found = {one["name"]: one for one in value["components"] if one.get("purl", "").startswith("pkg:pypi/")}
    assert sorted(found) == python
    locked = pathlib.Path(product.REQUIREMENTS).read_text()
    digests = {name: one["hashes"][0]["content"] for name, one in found.items()}
    assert all(digest in locked for name, digest in digests.items() if name != "bootseal")
    artifact = next(one for one in value["components"] if one["type"] == "file")
    lock = json.loads(inside.host.file("/opt/bootseal/etc/closures.lock").content_string)
    facts = {one["name"]: one["value"] for one in artifact["properties"]}
    assert (artifact["name"], facts["io.bootseal.closure.sha256"]) == ("data", lock["artifacts"]["data"]["sha256"])


def test_the_bootseal_in_it_is_the_wheel_that_built_it(image: dict[str, Any], wheel: pathlib.Path) -> None:
    """It was put together again from an installation, and is the wheel that was installed, byte for byte."""
    value = json.loads(pathlib.Path(image["sbom"]["file"]).read_text())
    [own] = [one for one in value["components"] if one["name"] == "bootseal"]
    assert own["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]


def test_a_base_with_another_python_is_told_by_the_build(
    bootseal: str, app: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copy = tmp_path / "other"
    shutil.copytree(app, copy)
    file = copy / "Containerfile"
    file.write_text(
        file.read_text().replace("ARG PYTHON=3.11", "ARG PYTHON_OF_THE_WHEELS=3.99").replace('"${PYTHON}"', "3.99")
    )
    base = box.script("base-image").stdout.strip()
    done = subprocess.run(
        [bootseal, "image", "build", copy, "--base", base], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the base has Python 3.11, and the wheels are locked for 3.99" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bootseal: podman build: it exited")


def test_an_image_that_is_not_here_is_none_for_both_engines(buildah: None) -> None:
    for kind in (engines.PODMAN, engines.BUILDAH):
        assert engines.Engine(kind).image("localhost/bootseal-nosuch:1") is None
