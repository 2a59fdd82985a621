"""What this process logs at which level: its own lines from the manifest's level on, those of libraries only when they matter."""

import logging

import pytest

from manifest import serving
from probes import log


@pytest.fixture(autouse=True)
def as_before():
    """Leave logging as it was."""
    names = (None, "probes", "supervisord", "seal", "artifacts")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("level", serving.LOG_LEVELS)
def test_each_level_lets_through_what_is_at_least_as_bad(level, capfd):
    log.begin("c0ffee", level)
    for name in ("probes.feed", "asyncio"):
        for one in serving.LOG_LEVELS:
            getattr(logging.getLogger(name), one)("%s says %s", name, one)

    said = capfd.readouterr().err
    ours = [one for one in serving.LOG_LEVELS if f"probes.feed says {one}" in said]
    theirs = [one for one in serving.LOG_LEVELS if f"asyncio says {one}" in said]
    assert ours == list(serving.LOG_LEVELS[serving.LOG_LEVELS.index(level) :])
    quiet = max(serving.LOG_LEVELS.index("warning"), serving.LOG_LEVELS.index(level))
    assert theirs == list(serving.LOG_LEVELS[0 if level == "debug" else quiet :])
    assert all('"boot_id": "c0ffee"' in line for line in said.splitlines())
