"""Images built once (their names hold a digest, so a second run finds them) and containers shared by the tests."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.container import box

REQUIRE = "BOOTSEAL_REQUIRE_CONTAINERS"


def absent() -> str:
    """Return what this machine lacks for container tests, or an empty string."""
    packages = box.script("engine", "--missing").stdout.split()
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages += [] if shutil.which("debootstrap", path=search) else ["debootstrap"]
    needs = [f"apt-get install {' '.join(packages)}"] if packages else []
    needs += [] if os.geteuid() == 0 else ["run as root"]
    return " and ".join(needs)


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Containers can be built and run here; where they must be, their absence is a failure."""
    needs = absent()
    if needs and (os.environ.get("CI") or os.environ.get(REQUIRE)):
        pytest.fail(f"the container tests are required here and cannot run: {needs}", pytrace=False)
    if needs:
        pytest.skip(f"the container tests need: {needs} ({REQUIRE}=1 makes this a failure)")


def build(app: str) -> str:
    """Build the image of an example, or find it built, and return its name."""
    done = box.script("image", app)
    assert done.returncode == 0, f"container/image {app}:\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="session")
def hello_image(machine: None) -> str:
    return build("hello")


@pytest.fixture(scope="session")
def shop_image(machine: None) -> str:
    return build("shop")


Start = Callable[..., box.Box]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a container that is removed after the test."""
    with_boxes = Boxes()
    yield with_boxes.start
    with_boxes.remove()


class Boxes:
    """Containers that end together."""

    def __init__(self) -> None:
        self._made: list[box.Box] = []

    def start(self, image: str, *options: str, started: bool = True) -> box.Box:
        """Create and start a container; hardened only as far as ``options`` say."""
        made = box.Box(image, *options, started=started)
        self._made.append(made)
        return made

    def remove(self) -> None:
        """Remove all of them."""
        for made in self._made:
            made.remove()


SECRET = "correct-horse-battery-staple"
SHOP_LIMITS = ("--memory=512m", "--pids-limit=256")
"""What the shop's manifest says of them; of two options the last one counts."""
ENVIRONMENT = ("--env=SECRET_TOKEN=" + SECRET, "--env=SHOP_NAME=The Corner", "--env=PYTHONPATH=/tmp/planted")


@pytest.fixture(scope="session")
def boxes() -> Iterator[Boxes]:
    """Containers that live as long as the session."""
    shared = Boxes()
    yield shared
    shared.remove()


@pytest.fixture(scope="session")
def hello(boxes: Boxes, hello_image: str) -> box.Box:
    """The hello example, hardened, sealed; tests look at it and change nothing."""
    started = boxes.start(hello_image, *box.HARDENED, *box.USER, *box.TMPFS, *ENVIRONMENT)
    started.wait_until_sealed()
    return started


@pytest.fixture(scope="session")
def shop(boxes: Boxes, shop_image: str) -> box.Box:
    """The shop example, hardened, sealed; tests look at it and change nothing but its items."""
    started = boxes.start(shop_image, *box.HARDENED, *SHOP_LIMITS, *box.USER, *box.TMPFS, *ENVIRONMENT)
    started.wait_until_sealed()
    return started


@pytest.fixture(scope="session", params=["hello", "shop"])
def sealed(request: pytest.FixtureRequest) -> box.Box:
    """Each example in turn, hardened and sealed."""
    found: box.Box = request.getfixturevalue(request.param)
    return found
