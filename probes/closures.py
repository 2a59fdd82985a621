"""The artifacts as Stage A found them, as /health and /v1/meta show them."""

from typing import Any

from contract import boot_record


def describe(boot: boot_record.BootRecord) -> list[dict[str, Any]]:
    """Return one object an artifact: ``sha256`` is its closure's root digest, ``reason`` why it cannot be used, or ""."""
    return [
        {
            "id": closure.artifact,
            "sha256": closure.sha256,
            "verified": closure.verified,
            "usable": not closure.reason,
            "reason": closure.reason,
        }
        for closure in boot.closures
    ]
