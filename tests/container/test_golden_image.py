"""An image made from a running container: whoever is started from it is itself, and not the container it was made from.

The run directory lies in the container's own layer here, the worst case: the whole identity is frozen into the image.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.container import box
from tests.container.conftest import Boxes

pytestmark = pytest.mark.container

GOLDEN, OTHERS = "golden", ("first", "second")
IN_ITS_LAYER = ("--user=0:0", "--network=none")
IDENTITY = "/run/bootseal/identity"


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def golden(own: Boxes, hello_image: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The image of a sealed container called GOLDEN, and who that container was."""
    made_from = own.start(hello_image, *IN_ITS_LAYER, f"--hostname={GOLDEN}", f"--env=AGENT_ID={GOLDEN}")
    made_from.wait_until_sealed()
    image = f"localhost/bootseal-golden:{os.getpid()}"
    box.engine_ok("commit", made_from.name, image)
    yield image, who(made_from)
    own.remove()  # an image in use stays
    box.engine("rmi", "--force", image)


@pytest.fixture(scope="module")
def others(own: Boxes, golden: tuple[str, dict[str, Any]]) -> list[box.Box]:
    """Two sealed containers of the golden image."""
    started = [own.start(golden[0], *IN_ITS_LAYER, f"--hostname={name}") for name in OTHERS]
    for other in started:
        other.wait_until_sealed()
    return started


def who(container: box.Box) -> dict[str, Any]:
    """Return what a container says of itself: by HTTP, by its identity directory, and by the variable."""
    [answer] = container.fetch("8080/whoami")
    names = ("id", "boot-id", "ed25519.pub")
    return {
        "whoami": answer.json,
        "files": {name: container.run("cat", f"{IDENTITY}/{name}").stdout for name in names},
        "variable": container.run("printenv", "AGENT_ID").stdout.strip(),
    }


def test_the_golden_identity_is_frozen_into_the_image(golden: tuple[str, dict[str, Any]]) -> None:
    """Otherwise the others have nothing to overcome, and this file proves nothing."""
    image, was = golden
    frozen = box.engine_ok(
        "run", "--rm", "--entrypoint=cat", *IN_ITS_LAYER, image, f"{IDENTITY}/id", f"{IDENTITY}/boot-id"
    )
    assert frozen == f"{GOLDEN}{was['whoami']['boot_id']}"
    assert was["files"]["id"] == was["whoami"]["id"] == GOLDEN


def test_each_container_of_a_golden_image_is_itself(others: list[box.Box]) -> None:
    seen = [who(other) for other in others]
    assert [item["files"]["id"] for item in seen] == [item["whoami"]["id"] for item in seen] == list(OTHERS)


def test_a_variable_would_have_called_them_all_golden(others: list[box.Box]) -> None:
    """The control: why the identity is in no variable."""
    assert [who(other)["variable"] for other in others] == [GOLDEN, GOLDEN]


def test_each_has_a_boot_and_without_a_store_a_key_of_its_own(
    golden: tuple[str, dict[str, Any]], others: list[box.Box]
) -> None:
    seen = [golden[1], *map(who, others)]
    assert len({item["whoami"]["boot_id"] for item in seen}) == len(seen)
    assert len({item["whoami"]["ed25519"] for item in seen}) == len(seen)
    assert all(item["files"]["boot-id"] == item["whoami"]["boot_id"] for item in seen)
    assert len({item["files"]["ed25519.pub"] for item in seen}) == len(seen)


def test_each_is_sealed_by_itself_and_not_by_the_seal_in_the_image(others: list[box.Box]) -> None:
    for name, other in zip(OTHERS, others, strict=True):
        done = other.run("bootseal", "verify")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"identity  {name}," in done.stdout
