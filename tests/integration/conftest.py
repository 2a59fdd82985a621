from collections.abc import Iterator

import pytest
import tree as trees


@pytest.fixture
def tree() -> Iterator[trees.Tree]:
    """A tree to build and start; whatever is left of it is ended after the test."""
    with trees.directory() as root:
        made = trees.Tree(root, trees.free_port())
        try:
            yield made
        finally:
            made.destroy()
