"""The schemas of the bodies: what every answer holds."""

from contract import events, snapshot
from manifest import serving
from probes import readiness
from probes.openapi import security, shapes
from probes.openapi.shapes import (
    Schema,
    always,
    an_object,
    claim,
    count,
    many,
    one_of,
    or_null,
    ref,
    seconds,
    text,
    time,
)

_PHASES = (snapshot.BOOTING, snapshot.SEALED, snapshot.HELD, snapshot.STOPPING)


def all_of_them() -> dict[str, Schema]:
    """Return every schema by its name."""
    return {**_probes(), **_health(), **_programs(), **_meta(), **security.all_of_them(), "Event": _event()}


def _probes() -> dict[str, Schema]:
    measured = {
        "uptime_seconds": seconds("Of the probe server."),
        "loop_lag_seconds": or_null(seconds("How late its event loop turned last; null until it turns.")),
        "heartbeat_age_seconds": or_null(seconds("Since PID 1 was heard; null until somebody listens.")),
    }
    missing = many(ref("Missing"), "In the order of causation.")
    identity = {
        "id": text("The container's id: a DNS-1123 label."),
        "boot_id": shapes.boot_id(),
        "ed25519": text("The raw public key in base64."),
        "nostr": text("The x-only public key in hexadecimal (BIP-340).", pattern="^[0-9a-f]{64}$"),
        "npub": text("The same key by NIP-19.", pattern="^npub1"),
        "did": text("did:nostr: and the key.", pattern="^did:nostr:"),
    }
    return {
        "Problem": an_object("Why a request was not answered.", {"error": text()}),
        "Live": an_object("PID 1 is heard.", {"live": always(True), **measured}),
        "Dead": an_object(
            "PID 1 was not heard, or this server not loaded, for longer than probes.liveness_deadline.",
            {"live": always(False), "reason": text(), **measured},
        ),
        "Sealed": an_object(
            "This boot was sealed, and stays so for its life.",
            {"sealed": always(True), "sealed_at": time(), "generation": count("In which this server learnt it.")},
        ),
        "Unsealed": an_object(
            "This boot was never sealed.", {"sealed": always(False), "reason": text(), "missing": missing}
        ),
        "Ready": an_object(
            "Everything required is ready now.",
            {
                "ready": always(True),
                "since": time("The last change of readiness."),
                "requirements": many(text(), "Programs by their names; mount:PATH, check:NAME, identity."),
            },
        ),
        "Unready": an_object(
            "Something required is not ready now.",
            {"ready": always(False), "reason": text("One sentence: the first cause."), "missing": missing},
        ),
        "Missing": an_object(
            "One requirement that is not met.",
            {
                "id": text(),
                "kind": one_of(readiness.KINDS),
                "reason": text(),
                "since": time("Its last change between met and unmet."),
                "required": claim(),
            },
        ),
        "Identity": an_object("Who this container is.", identity, ("nostr", "npub", "did")),
    }


def _health() -> dict[str, Schema]:
    seal = {
        "accepted": claim(),
        "since": time("Of this verdict."),
        "reason": text("Why it is not accepted."),
        "sha256": shapes.sha256("Of the record that PID 1 saw written."),
        "at": time("When PID 1 saw it."),
        "late": claim("After the boot had failed and was held."),
        "elapsed_seconds": seconds("From the start of the generation to its seal."),
    }
    return {
        "Health": an_object(
            "The whole picture, for a person.",
            {
                "status": one_of(("ready", "unready")),
                "phase": or_null(one_of(_PHASES, "Of this generation; null before PID 1 told.")),
                "boot": ref("Boot"),
                "ledger": an_object(
                    "PID 1's ledger as this server knows it.",
                    {
                        "age_seconds": seconds("Since something confirmed it."),
                        "fresh": claim(),
                        "revision": or_null(count()),
                        "refusal": or_null(text("Why the last one that came was not taken.")),
                    },
                ),
                "programs": many(ref("Program")),
                "requirements": many(ref("Requirement"), "What is looked at beside programs."),
                "seal": an_object(
                    "This generation's seal.", seal, ("reason", "sha256", "at", "late", "elapsed_seconds")
                ),
                "readiness": {"oneOf": [ref("Ready"), ref("Unready")]},
            },
        ),
        "Boot": an_object(
            "This boot.",
            {
                "id": shapes.boot_id(),
                "generation": count("supervisord's starts within the boot."),
                "started_at": time("Of Stage A."),
                "elapsed_seconds": seconds("Since then."),
                "sealed_at": or_null(time("The boot's first seal.")),
                "seal_due_in_seconds": or_null(seconds("Until the boot fails for want of a seal.", signed=True)),
                "failure": or_null(text("The cause of a failed boot.")),
                "phases": many(
                    an_object(
                        "A phase of Stage A.",
                        {
                            "name": text(),
                            "started_seconds": seconds("Since Stage A began."),
                            "duration_ms": {"type": "number", "minimum": 0},
                        },
                    )
                ),
                "warnings": many(text()),
                "artifacts": many(ref("Artifact")),
            },
        ),
        "Artifact": an_object(
            "An artifact as Stage A found it.",
            {
                "id": text(),
                "sha256": or_null(shapes.sha256("The root digest of its locked closure.")),
                "verified": text("How: digest, metadata or presence."),
                "usable": claim(),
                "reason": text("Why it cannot be used, or empty."),
            },
        ),
        "Requirement": an_object(
            "A mount, a check or the identity as it stands.",
            {
                "kind": one_of((readiness.MOUNT, readiness.CHECK, readiness.IDENTITY)),
                "id": text(),
                "required": claim(),
                "met": claim(),
                "reason": text("Empty when it is met."),
                "since": time("The last change between met and unmet."),
                "age_seconds": or_null(seconds("Of the last look; null before the first.")),
            },
        ),
    }


def _programs() -> dict[str, Schema]:
    return {
        "Program": an_object(
            "A program in PID 1's ledger.",
            {
                "name": text(),
                "role": one_of(("program", *snapshot.SYSTEM_ROLES)),
                "required": claim(),
                "oneshot": claim(),
                "state": one_of(snapshot.STATES),
                "reason": text("Why it is not ready, or empty."),
                "since": time("The last change of state."),
                "supervisor_state": text("supervisord's own word."),
                "pid": or_null(count(minimum=1)),
                "pid_start": or_null(count("Its start, in clock ticks since the machine's.")),
                "ready_by": or_null(text("What proved it.")),
                "ready_at": or_null(time("The last readiness.")),
                "last_exit": or_null(ref("Exit")),
                "exits": count("That nobody asked for."),
                "restarts": count("Starts after the first."),
                "last_output": many(text(), "Its last lines, without the secrets that were delivered to it."),
                "status": text("What it says of itself by sd_notify."),
                "final": claim("It failed for good: waiting does not mend it."),
                "restart_reasons": ref("RestartReasons"),
                "first": ref("Timeline"),
                "latest": ref("Timeline"),
            },
        ),
        "RestartReasons": an_object(
            "How often it was started again, and why.",
            {reason: count() for reason in snapshot.RESTART_REASONS},
            snapshot.RESTART_REASONS,
        ),
        "Exit": an_object(
            "How a process ended.", {"code": or_null(count(minimum=None)), "signal": or_null(count(minimum=1))}
        ),
        "Timeline": an_object(
            "When a process was forked, RUNNING to supervisord, and ready: seconds since Stage A began; null: never.",
            {step: or_null(seconds()) for step in ("spawned", "running", "ready")},
        ),
    }


def _event() -> Schema:
    """Return what all events have; each has fields of its own beside."""
    whole = an_object(
        "One event of the boot, beside whose fields it has its own.",
        {
            "time": time(),
            "level": one_of(("debug", "info", "warn", "error")),
            "event": one_of(sorted(events.LEVELS)),
            "stage": {"type": "string", "const": events.STAGE},
            "boot_id": shapes.boot_id(),
            "source": text("Which of bootseal's processes tells it."),
            "seq": count("Counted by its source."),
            "traceparent": text("The span that it belongs to (W3C Trace Context).", pattern="^00-"),
            "dropped": count("Events before it that could not be told."),
        },
        ("traceparent", "dropped"),
    )
    return {**whole, "additionalProperties": True}


def _meta() -> dict[str, Schema]:
    number = count()
    runtime = an_object("A language runtime.", {"name": text(), "path": text(), "version": text()})
    return {
        "Meta": an_object(
            "What runs here, and under which restrictions.",
            {
                "name": text("Of the manifest."),
                "bootseal": text("Its version."),
                "supervisor": or_null(text("Its version.")),
                "python": text("Its version."),
                "plan_sha256": shapes.sha256(),
                "manifest_sha256": shapes.sha256(),
                "config_sha256": shapes.sha256(),
                "lock_sha256": or_null(shapes.sha256()),
                "proven_with": or_null(text("The supervisor whose parser accepted the configuration.")),
                "boot_id": shapes.boot_id(),
                "generation": number,
                "identity": {"oneOf": [ref("Identity"), ref("Problem")]},
                "artifacts": many(ref("Artifact")),
                "runtimes": {"oneOf": [many(runtime), ref("Problem")]},
                "endpoints": ref("Endpoints"),
                "log_level": one_of(serving.LOG_LEVELS),
                "security": ref("Security"),
                "process": an_object(
                    "The probe server.",
                    {
                        "pid": count(minimum=1),
                        "resident_bytes": number,
                        "threads": number,
                        "descriptors": number,
                        "cpu_seconds": seconds(),
                    },
                ),
            },
        ),
        "Endpoints": an_object(
            "Where this server listens: HOST:PORT.",
            {
                "probes": text(),
                "metrics": or_null(text("Where metrics have a port of their own.")),
                "detail": an_object(
                    "Who may read detail, and where.",
                    {
                        "reach": one_of(serving.REACHES),
                        "address": or_null(text("Null where it is not answered over TCP.")),
                        "token": claim("Whether a token must be shown."),
                    },
                ),
                "socket": text("The unix socket's path."),
                "otlp": or_null(text("Where the boot's trace is sent.")),
                "paths": many(text(pattern="^/")),
            },
        ),
    }
