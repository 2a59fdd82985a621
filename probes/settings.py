"""What the probe server was told to serve: its environment, which must say what the plan says. Standard library only.

Rules
-----
* The plan decides. The environment says the same, so that whoever looks at the process sees what it serves: where they differ
  nothing is served, and the difference is named.
"""

from collections.abc import Mapping

from contract import errors
from manifest import plan, serving

_SHOWN = 100


class Contradiction(errors.BootsealError):
    """The environment and the plan say different things."""


def check(environ: Mapping[str, str], made: plan.Plan) -> None:
    """Raise Contradiction unless the variables of serving.VARIABLES say in ``environ`` what the plan ``made`` says."""
    wanted = serving.environment(made.probes, made.observability)
    for name in serving.VARIABLES:
        if environ.get(name) != wanted.get(name):
            found, planned = (_said(value.get(name)) for value in (environ, wanted))
            raise Contradiction(
                f"environment variable {name}",
                f"it is {found}, and by the plan {planned}",
                "supervisord sets it from the plan: change the manifest, build again, and boot that",
            )


def _said(value: str | None) -> str:
    return "not set" if value is None else repr(value[:_SHOWN])
