"""The probe server serves what its environment says, which is what the plan says, or nothing."""

import subprocess
import sys

import pytest

from contract import errors
from manifest import serving
from probes import settings
from tests.unit import boots

EVERYTHING = boots.make_plan(
    probes=boots.listening(
        host="::", port=80, metrics_port=9091, detail=serving.DetailPlan(serving.OWN, "127.0.0.1", 81, None)
    ),
    observability=serving.ObservabilityPlan("debug", "http://collector:4318"),
)
TOLD = {
    "BOOTSEAL_PROBES_LISTEN": "[::]:80",
    "BOOTSEAL_METRICS_LISTEN": "127.0.0.1:9091",
    "BOOTSEAL_DETAIL_LISTEN": "127.0.0.1:81",
    "BOOTSEAL_LOG_LEVEL": "debug",
    "BOOTSEAL_OTLP_ENDPOINT": "http://collector:4318",
}


def test_what_the_plan_says_is_served() -> None:
    settings.check({**TOLD, "PATH": "/bin"}, EVERYTHING)
    settings.check({"BOOTSEAL_PROBES_LISTEN": "127.0.0.1:8080", "BOOTSEAL_LOG_LEVEL": "info"}, boots.make_plan())


@pytest.mark.parametrize("name", TOLD)
def test_a_variable_that_is_not_the_plans_is_refused_by_name_with_both_values(name: str) -> None:
    with pytest.raises(errors.BootsealError) as refused:
        settings.check({**TOLD, name: "x" * 200 + "\x1b"}, EVERYTHING)
    text = str(refused.value)
    assert text.startswith(f"environment variable {name}: ")
    assert repr(TOLD[name]) in text
    assert "build again" in text
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize("name", TOLD)
def test_a_variable_that_is_missing_or_too_many_is_refused(name: str) -> None:
    missing = {other: value for other, value in TOLD.items() if other != name}
    with pytest.raises(errors.BootsealError, match=rf"{name}: it is not set, and by the plan '"):
        settings.check(missing, EVERYTHING)
    least = serving.environment(boots.make_plan().probes, boots.make_plan().observability)
    if name not in least:
        with pytest.raises(errors.BootsealError, match=rf"{name}: it is '.*', and by the plan not set"):
            settings.check({**least, name: TOLD[name]}, boots.make_plan())


def test_settings_are_checked_with_the_standard_library_alone() -> None:
    script = "import sys; from probes import settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert {"aiohttp", "pydantic", "yaml", "asyncio"} & set(done.stdout.split()) == set()
