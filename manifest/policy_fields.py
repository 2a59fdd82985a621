"""The kinds of value that order, failure, stopping and signals are said in."""

from typing import Annotated, Any

import pydantic

from manifest import fields, plan

PASSED_SIGNALS = ("HUP", "USR1", "USR2", "WINCH")
"""What PID 1 may pass on; the others it answers itself."""
SENT_SIGNALS = (*fields.SIGNALS, "WINCH")


def _duration(least: float, most: float, words: str) -> Any:
    return pydantic.PlainValidator(lambda node: fields.ranged(node, least, most, words))


def _limit(node: Any) -> int:
    return fields.ranged_integer(node, 1, 1000, "a limit")


_condition_reader, _condition_schema = fields.one_of("what a program waits for", (plan.READY, plan.STARTED))
Condition = Annotated[str, _condition_reader, _condition_schema]
_outcome_reader, _outcome_schema = fields.one_of("an outcome", (plan.END, plan.DEGRADE, plan.RESTART))
Outcome = Annotated[str, _outcome_reader, _outcome_schema]
_passed_reader, _ = fields.one_of("a signal that is passed on", PASSED_SIGNALS)
PassedSignal = Annotated[str, _passed_reader, fields.schema(type="string", pattern=f"^({'|'.join(PASSED_SIGNALS)})$")]
_sent_reader, _sent_schema = fields.one_of("a signal", SENT_SIGNALS)
SentSignal = Annotated[str, _sent_reader, _sent_schema]
Backoff = Annotated[float, _duration(0.001, 3600, "a back-off is more than 0s and at most 1h"), fields.DURATION_SCHEMA]
Window = Annotated[float, _duration(0.001, 24 * 3600, "it is more than 0s and at most 24h"), fields.DURATION_SCHEMA]
Drain = Annotated[float, _duration(0, 600, "a drain is 0s to 10m"), fields.DURATION_SCHEMA]
Grace = Annotated[float, _duration(0.001, 24 * 3600, "a grace is more than 0s and at most 24h"), fields.DURATION_SCHEMA]
Limit = Annotated[int, pydantic.PlainValidator(_limit), fields.schema(type="integer", minimum=1, maximum=1000)]
