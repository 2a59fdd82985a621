"""The kinds of value that the container's confinement and deployment are said in."""

import re
from typing import Annotated, Any

import pydantic

from manifest import diagnostics, fields, hardening, provision_fields, provisions, serving_fields, tree

_DEVICE = re.compile(r"(/dev/[^:]+)(?::(r?w?m?))?")
_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,30}|[0-9]{1,10}")
_SYSCALL = re.compile(r"[a-z_][a-z0-9_]{1,40}")
_CPUS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _capability(node: Any) -> str:
    text = fields.read_text(node, "a capability like NET_RAW")
    bare = text.upper().removeprefix("CAP_")
    if bare not in hardening.CAPABILITIES:
        close = None if bare == "ALL" else diagnostics.nearest(bare, hardening.CAPABILITIES)
        remedy = f"write {close}" if close else "name those that are needed: see capabilities(7)"
        fields.refuse("E099", f"{diagnostics.quote(text)} is not a capability of Linux", remedy)
    return bare


def _container_user(node: Any) -> provisions.User:
    text = fields.read_text(node, "a user like 1000:1000")
    if 0 in {int(part) for part in text.split(":") if part.isascii() and part.isdigit()}:
        why = "no container runs as root but under the exception program-users"
        fields.refuse("E083", f"{diagnostics.quote(text)} is root: {why}", 'write for example "1000:1000"')
    return provision_fields.read_user(node)


def _limiting(size: int) -> int:
    if size == 0:
        why = "to the kernel and to engines 0 is no limit at all"
        fields.refuse("E122", f"a size of 0 limits nothing: {why}", "write how much it is at most, like 64MiB")
    return size


def _device(node: Any) -> hardening.Device:
    text = fields.read_text(node, "a device like /dev/kfd")
    match = _DEVICE.fullmatch(text)
    if match is None or match[2] == "" or fields.path_fault(match[1]):
        why = "a device is a path below /dev, behind which :rwm may say what is allowed"
        fields.refuse("E107", f"{diagnostics.quote(text)} is not a device: {why}", "write for example /dev/dri:rw")
    return hardening.Device(match[1], match[2] or "rw")


def _group(node: Any) -> str:
    text = fields.read_text(node, "a group like video")
    if not _GROUP.fullmatch(text) or text in {"0", "root"}:
        why = "a group is a name or a number, and not root's"
        fields.refuse("E107", f"{diagnostics.quote(text)} is not a group: {why}", "write for example video")
    return text


def _syscall(node: Any) -> str:
    text = fields.read_text(node, "a system call like unshare")
    if not _SYSCALL.fullmatch(text):
        fields.refuse(
            "E107", f"{diagnostics.quote(text)} is not the name of a system call", "write for example unshare"
        )
    return text


def _runtime(node: Any) -> str:
    text = fields.read_text(node, "a runtime like nvidia")
    if not _NAME.fullmatch(text):
        fields.refuse("E107", f"{diagnostics.quote(text)} is not the name of a runtime", "write for example nvidia")
    return text


def _cpus(node: Any) -> float:
    text = fields.read_text(node, "a number of CPUs like 1.5")
    if not _CPUS.fullmatch(text) or not 0.001 <= float(text) <= 4096:
        why = "it is 0.001 to 4096, with at most three decimals"
        fields.refuse("E024", f"{diagnostics.quote(text)} is not a number of CPUs: {why}", "write for example 1.5")
    return float(text)


def _pids(node: Any) -> int:
    return fields.ranged_integer(node, 16, 4194304, "the number of processes", "bootseal's own need some")


def _files(node: Any) -> int:
    return fields.ranged_integer(
        node, 1024, 1048576, "the number of descriptors", "supervisord needs some for each program"
    )


def _replicas(node: Any) -> int:
    return fields.ranged_integer(node, 0, 10000, "replicas")


def _explained(reason: str) -> str:
    if not reason.strip():
        fields.refuse("E086", "the reason is empty: whoever reads the manifest wants to know why", "say why")
    return reason


def listed(node: Any) -> Any:
    """Return a single value as a list of it."""
    return [node] if isinstance(node, tree.Scalar) and node.value is not None else node


User = Annotated[
    provisions.User,
    pydantic.PlainValidator(_container_user),
    fields.schema(type=["string", "integer"], pattern="^[0-9]+(:[0-9]+)?$"),
]
"""The user that a container runs as, who is not root."""
Limit = Annotated[
    serving_fields.Size,
    pydantic.AfterValidator(_limiting),
    fields.schema(type="string", pattern=f"^0*[1-9][0-9]*({'|'.join(serving_fields.UNITS)})$"),
]
"""A size that is more than nothing."""
Capability = Annotated[
    str, pydantic.PlainValidator(_capability), fields.schema(type="string", pattern="^(CAP_)?[A-Z_]+$")
]
Device = Annotated[
    hardening.Device, pydantic.PlainValidator(_device), fields.schema(type="string", pattern="^/dev/[^:]+(:r?w?m?)?$")
]
Group = Annotated[str, pydantic.PlainValidator(_group), fields.schema(type=["string", "integer"])]
Syscall = Annotated[
    str, pydantic.PlainValidator(_syscall), fields.schema(type="string", pattern=f"^{_SYSCALL.pattern}$")
]
Runtime = Annotated[str, pydantic.PlainValidator(_runtime), fields.schema(type="string", pattern=f"^{_NAME.pattern}$")]
Cpus = Annotated[float, pydantic.PlainValidator(_cpus), fields.schema(type=["string", "number"])]
Pids = Annotated[int, pydantic.PlainValidator(_pids), fields.schema(type="integer", minimum=16, maximum=4194304)]
Files = Annotated[int, pydantic.PlainValidator(_files), fields.schema(type="integer", minimum=1024, maximum=1048576)]
Replicas = Annotated[int, pydantic.PlainValidator(_replicas), fields.schema(type="integer", minimum=0, maximum=10000)]
Reason = Annotated[fields.Text, pydantic.AfterValidator(_explained)]
_gpu_reader, _gpu_schema = fields.one_of("a kind of GPU", hardening.GPUS)
Gpu = Annotated[str, _gpu_reader, _gpu_schema]
_kind_reader, _kind_schema = fields.one_of("a kind of workload", hardening.KINDS)
Kind = Annotated[str, _kind_reader, _kind_schema]
_storage_reader, _storage_schema = fields.one_of("a kind of storage", ("tmpfs", "volume"))
Storage = Annotated[str, _storage_reader, _storage_schema]
