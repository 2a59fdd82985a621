"""schemathesis against a running server: requests are made from the OpenAPI document, and every answer is held against it."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.core import failures

CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,"
    "negative_data_rejection,positive_data_acceptance,unsupported_method,allow_header_conformance"
)
"""All but ``not_a_server_error``: a 503 is an answer here. A 500 stands nowhere in the document, and so is never taken."""
ENDLESS = "/v1/events"
"""A stream that ends when the client does."""


def shortened(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` without endless answers, and so that no request is held longer than milliseconds."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    copy["paths"].pop(ENDLESS, None)
    for path in copy["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "wait":
                    parameter["schema"]["pattern"] = "^[0-9]ms$"
    return copy


def run(document: dict[str, Any], url: str, folder: Path, *more: str, examples: int = 10) -> tuple[int, str]:
    """Hold the server at ``url`` against ``document``; return the exit code (0: nothing was found) and what was told.

    The same requests are made each time.
    """
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", url, "--checks", CHECKS, "--no-color",
            "--max-examples", str(examples), "--generation-deterministic",
            "--request-timeout", "30", "--phases", "coverage,fuzzing", "--warnings", "off",
            "--suppress-health-check", "all", "--continue-on-failure", *more,
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def broken(document: dict[str, Any], url: str, paths: Iterable[str]) -> list[str]:
    """Ask for each of ``paths`` once; return those whose answer is not as ``document`` says."""
    schema = schemathesis.openapi.from_dict(document)
    found = []
    for path in paths:
        case = schema[path]["GET"].Case()
        try:
            case.call_and_validate(base_url=url, excluded_checks=[schemathesis.checks.not_a_server_error])
        except failures.FailureGroup:
            found.append(path)
    return found
