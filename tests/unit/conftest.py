import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short path of the test's own, instead of pytest's: an AF_UNIX address holds 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bs-", dir="/tmp") as path:
        yield Path(path)
