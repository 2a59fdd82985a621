"""The kinds of value that identity, secrets, artifacts and users are said in."""

import re
from typing import Annotated, Any

import pydantic

from manifest import diagnostics, fields, provisions, tree

LEAST_BYTES, MOST_BYTES = 16, 1024
_USER = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")
_NOBODY = 65534
_LARGEST_ID = 2**32 - 2
"""The last number that names a user; -1 means "leave it" to chown(2)."""


def _bytes(node: Any) -> int:
    why = "shorter ones can be guessed"
    return fields.ranged_integer(node, LEAST_BYTES, MOST_BYTES, "the number of random bytes", why)


def read_user(node: Any) -> provisions.User:
    """Return the user that is written at ``node`` as UID or UID:GID; never root."""
    text = fields.read_text(node, "a user like 1001:1001")
    shown = diagnostics.quote(text)
    match = _USER.fullmatch(text)
    if match is None or max(int(part or 0) for part in match.groups()) > _LARGEST_ID:
        why = "a user is its number, and its group's after a colon: boot looks no name up"
        fields.refuse("E083", f"{shown} is not a user: {why}", 'write for example "1001:1001"')
    uid = int(match[1])
    gid = uid if match[2] is None else int(match[2])
    if 0 in {uid, gid}:
        fields.refuse("E083", f"{shown} is root: PID 1 alone is", 'write for example "1001:1001"')
    if uid == _NOBODY:
        fields.refuse(
            "E083", f"{shown} is nobody: commands that check artifacts run as nobody", "choose another number"
        )
    return provisions.User(uid, gid)


def _runtimes(node: Any) -> Any:
    """Return ``all`` as the list of all."""
    if not isinstance(node, tree.Scalar) or node.value is None:
        return node
    if node.text != "all":
        shown = diagnostics.quote(node.text)
        fields.refuse("E022", f"{shown} stands where a list belongs", "write `all`, or a list like [python, node]")
    return list(provisions.RUNTIMES)


_key_reader, _ = fields.one_of("a kind of key", provisions.KEY_KINDS)
_key_schema = fields.schema(type="string", pattern=f"^({'|'.join(provisions.KEY_KINDS)})$")
KeyKind = Annotated[str, _key_reader, _key_schema]
_kind_reader, _kind_schema = fields.one_of("a kind of artifact", provisions.ARTIFACT_KINDS)
ArtifactKind = Annotated[str, _kind_reader, _kind_schema]
_verify_reader, _verify_schema = fields.one_of("a verification", provisions.VERIFICATIONS)
Verification = Annotated[str, _verify_reader, _verify_schema]
_runtime_reader, _runtime_schema = fields.one_of("a runtime", provisions.RUNTIMES)
Runtime = Annotated[str, _runtime_reader, _runtime_schema]
Runtimes = Annotated[list[Runtime], pydantic.BeforeValidator(_runtimes)]
Bytes = Annotated[
    int, pydantic.PlainValidator(_bytes), fields.schema(type="integer", minimum=LEAST_BYTES, maximum=MOST_BYTES)
]
User = Annotated[
    provisions.User,
    pydantic.PlainValidator(read_user),
    fields.schema(type=["string", "integer"], pattern="^[0-9]+(:[0-9]+)?$"),
]
