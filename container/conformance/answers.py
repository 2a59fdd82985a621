"""What the probe server answers, by the plan and by its own OpenAPI document. Judges; see ``promise``.

Rules
-----
* They were fetched within the container, so nothing need be published, and by the image's interpreter, so it needs no curl.
* A body is judged twice: its shape by the document that bootseal publishes (of the version that runs the suite, which is the
  plan's), what it says by the plan and this boot.
* Detail is asked for over the unix socket, which always answers the container's user; how it is answered over TCP is a promise
  of its own.
"""

import functools
import json
from typing import Any

import jsonschema
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from container.conformance import facts
from container.conformance.promise import Judging, Subject, Violation, counted
from contract import snapshot
from manifest import plan, serving
from probes.openapi import document

PATHS = {
    "livez": "/livez",
    "startupz": "/startupz",
    "ready": "/ready",
    "whoami": "/whoami",
    "openapi": "/openapi.json",
    "metrics": "/metrics",
    "health": "/health",
    "meta": "/v1/meta",
}
"""The paths that are asked for, by the names under which their answers are kept."""
DETAIL, ELSEWHERE = "detail", "elsewhere"
"""/health over TCP: where detail is served, and on the probes' address where it has one of its own."""
_WHY = "ask `bootseal status` in the container"


@functools.cache
def _document() -> dict[str, Any]:
    return document.document()


def livez(subject: Subject) -> Judging:
    """/livez answers 200: the probe server turns and PID 1 is heard."""
    yield from _judge(subject, "livez", {"live": True})
    return _shown(subject, "livez")


def startupz(subject: Subject) -> Judging:
    """/startupz answers 200: this boot is sealed."""
    yield from _judge(subject, "startupz", {"sealed": True})
    return _shown(subject, "startupz")


def ready(subject: Subject) -> Judging:
    """/ready answers 200, and names exactly what the plan requires."""
    value = yield from _judge(subject, "ready", {"ready": True})
    names = value.get("requirements")
    if isinstance(names, list):
        wanted = _requirements(subject.plan)
        for name in sorted(set(wanted) ^ set(map(str, names)) - {"identity"}):
            why = (
                f"it leaves out {name}, which the plan requires"
                if name in wanted
                else f"it names {name}, which the plan does not require"
            )
            yield Violation("/ready", why, "the plan in the image is another one")
    return _shown(subject, "ready")


def health(subject: Subject) -> Judging:
    """/health tells of this boot, its seal and the plan's programs."""
    value = yield from _judge(subject, "health", {"status": "ready", "phase": snapshot.SEALED})
    if value:
        yield from _unlike("/health", value.get("boot"), {"id": subject.boot.boot_id, "failure": None})
        yield from _unlike("/health", value.get("seal"), {"accepted": True})
        names = {one.get("name") for one in value.get("programs", ())}
        for name in sorted({one.name for one in subject.plan.programs} - names):
            yield Violation("/health", f"it leaves out the program {name}", "the plan in the image is another one")
    return f"{counted(len(value.get('programs', ())), 'program')}, {counted(len(value.get('requirements', ())), 'requirement')}"


def whoami(subject: Subject) -> Judging:
    """/whoami names this boot, and the key that signs its seal."""
    boot = subject.boot
    yield from _judge(subject, "whoami", {"boot_id": boot.boot_id, "ed25519": boot.public_key})
    return _shown(subject, "whoami")


def meta(subject: Subject) -> Judging:
    """/v1/meta shows the given plan's digests, this boot, and where the plan has it listen."""
    the_plan = subject.plan
    wanted = {
        "name": the_plan.name,
        "bootseal": the_plan.bootseal,
        "plan_sha256": subject.plan_sha256,
        "manifest_sha256": the_plan.manifest_sha256,
        "config_sha256": the_plan.config_sha256,
        "lock_sha256": the_plan.lock.sha256 if the_plan.lock else None,
        "boot_id": subject.boot.boot_id,
        "log_level": the_plan.observability.log_level,
    }
    value = yield from _judge(subject, "meta", wanted)
    if value:
        probes = the_plan.probes
        metrics = None if probes.metrics_port is None else serving.address(probes.metrics_host, probes.metrics_port)
        places = {"probes": serving.address(probes.host, probes.port), "metrics": metrics}
        yield from _unlike("/v1/meta: endpoints", value.get("endpoints"), places)
    return f"bootseal {value.get('bootseal')}, supervisor {value.get('supervisor')}, Python {value.get('python')}"


def metrics(subject: Subject) -> Judging:
    """/metrics is OpenMetrics, and shows this boot, sealed, of the given plan."""
    answer = yield from _answered(subject, "metrics")
    if answer is None:
        return ""
    try:
        is_open = answer.content_type == "application/openmetrics-text"
        read: Any = (openmetrics if is_open else parser).text_string_to_metric_families
        families = list(read(answer.body))
    except ValueError as error:
        yield Violation("/metrics", f"it is no {answer.content_type}: {error}", "look at what answers there")
        return ""
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for one in families for sample in one.samples
    }
    plans = {dict(labels).get("plan_sha256") for name, labels in samples if name == "bootseal_plan_info"}
    boots = {dict(labels).get("boot_id") for name, labels in samples if name == "bootseal_boot_info"}
    for what, found, right in (
        ("bootseal_plan_info's plan_sha256", plans, subject.plan_sha256),
        ("bootseal_boot_info's boot_id", boots, subject.boot.boot_id),
    ):
        if found != {right}:
            yield Violation("/metrics", f"{what} is {', '.join(map(str, found)) or 'not there'}, not {right}", _WHY)
    if samples.get(("bootseal_boot_sealed", ())) != 1:
        yield Violation("/metrics", "bootseal_boot_sealed is not 1", _WHY)
    return f"{counted(len(families), 'metric')}, {counted(len(samples), 'sample')}"


def openapi(subject: Subject) -> Judging:
    """/openapi.json is the document that bootseal of this version publishes."""
    value = yield from _judge(subject, "openapi", {})
    if value and value != _document():
        why = "it differs from that of bootseal " + str(_document()["info"]["version"])
        yield Violation("/openapi.json", why, "run the suite of the version that the image has")
    return f"OpenAPI {value.get('openapi')}"


def reach(subject: Subject) -> Judging:
    """Over TCP, detail is answered where and to whom the plan says."""
    found = subject.inside.told.answers
    wanted = detail_statuses(subject.plan.probes)
    for name, status in wanted.items():
        seen = found[name].status
        if seen != status:
            place = "on the probes' address" if name == ELSEWHERE else "from within, without a token"
            shown = f"{seen}" if seen else f"nothing ({found[name].body})"
            why = f"/health {place} is answered {shown}, and by probes.detail it is {status}"
            yield Violation("detail", why, "look for what answers there")
    return ", ".join(f"{name} {status}" for name, status in wanted.items())


def detail_statuses(probes: serving.ProbesPlan) -> dict[str, int]:
    """Return how /health is answered over TCP to who asks from within and shows no token."""
    detail = probes.detail
    host = facts.address(probes.host)
    is_on_loopback = host.is_loopback or host.is_unspecified
    served = 200 if detail.token_file is None else 401
    statuses = {
        DETAIL: {serving.SOCKET: 404, serving.LOOPBACK: served if is_on_loopback else 403}.get(detail.reach, served)
    }
    return statuses | ({ELSEWHERE: 404} if detail.reach == serving.OWN else {})


def _requirements(the_plan: plan.Plan) -> list[str]:
    """Return what /ready names; the identity too, which is always required."""
    rows = [f"mount:{one.path}" for one in the_plan.readiness.mounts if one.required]
    rows += [f"check:{one.name}" for one in the_plan.readiness.conditions if one.required]
    return [*(one.name for one in the_plan.required_programs), *rows]


Reading = Any
"""Generator[Violation, None, dict[str, Any]]: what a judge is, with a body instead of the evidence."""


def _judge(subject: Subject, name: str, wanted: dict[str, Any]) -> Reading:
    """Yield what is wrong with the answer called ``name``, and return its body, empty where there is none."""
    answer = yield from _answered(subject, name)
    if answer is None:
        return {}
    path = PATHS[name]
    try:
        value = json.loads(answer.body)
    except ValueError as error:
        yield Violation(path, f"its body is no JSON: {error}", "look at what answers there")
        return {}
    for why in _misshapen(path, answer, value):
        yield Violation(path, why, "run the suite of the version that the image has, or look at what answers there")
    if not isinstance(value, dict):
        return {}
    yield from _unlike(path, value, wanted)
    return value


def _answered(subject: Subject, name: str) -> Reading:
    answer = subject.inside.told.answers[name]
    if answer.status == 200:
        return answer
    shown = (
        f"it answers {answer.status}: {answer.body.strip()[:300]}"
        if answer.status
        else f"nobody answers: {answer.body}"
    )
    yield Violation(PATHS[name], shown, _WHY)
    return None


def _misshapen(path: str, answer: facts.Answer, value: Any) -> list[str]:
    """Return where ``value`` is not as the document says of ``path``, the first few."""
    content = _document()["paths"][path]["get"]["responses"]["200"].get("content", {})
    if answer.content_type not in content:
        return [f"its type is {answer.content_type}, and {' or '.join(content)} is documented"]
    schema = {**content[answer.content_type]["schema"], "components": _document()["components"]}
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [
        f"{'.'.join(map(str, one.absolute_path)) or 'its body'}: {one.message[:200]}"
        for one, _ in zip(found, range(3), strict=False)
    ]


def _unlike(what: str, value: Any, wanted: dict[str, Any]) -> Judging:
    found = value if isinstance(value, dict) else {}
    for name, right in wanted.items():
        if found.get(name) != right:
            yield Violation(what, f"its {name} is {json.dumps(found.get(name))}, not {json.dumps(right)}", _WHY)
    return ""


def _shown(subject: Subject, name: str) -> str:
    answer = subject.inside.told.answers[name]
    return f"{answer.status} {answer.body.strip()[:200]}"
