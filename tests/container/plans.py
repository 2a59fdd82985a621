"""A plan of a test's own in an image that is there: compiled on the host, and mounted where the image has its own."""

import pathlib
from typing import Any

import yaml

from entrypoint import building
from manifest import compile as compiling


def mounted(directory: pathlib.Path, manifest: dict[str, Any]) -> str:
    """Compile ``manifest`` into ``directory`` and return the option that puts it into a container."""
    file = directory / "bootseal.yaml"
    file.write_text(yaml.safe_dump(manifest))
    result = compiling.load(str(file), compiling.BuildOptions("/opt/bootseal", "/run/bootseal", None))
    assert result.plan is not None, result.diagnostics
    building.write(building.finish(result.plan, prove=True), str(directory))
    directory.chmod(0o755)
    return f"--volume={directory}:/opt/bootseal/etc:ro"
