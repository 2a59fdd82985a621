"""From a file to a positioned tree: YAML, read strictly and within bounds.

Rules
-----
* A manifest is one regular file (a link to one is fine) of at most ``SIZE_LIMIT`` bytes of UTF-8 text. Reading never blocks.
* It is one YAML document whose root is a mapping. Depth and number of nodes are counted on the event stream, aliases
  expanded, before any tree exists; nothing here recurses.
* Refused rather than guessed at: duplicate keys, merge keys, tags, keys that are not plain text.
* What can be reported together is: only a fault after which the rest means nothing ends the reading.
"""

import os
import re
import stat

import yaml

from contract import errors
from manifest import composer, tree
from manifest.diagnostics import Findings

SIZE_LIMIT = 1024 * 1024
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
"""What YAML does not allow in a stream (yaml.org/spec/1.1, c-printable), and a byte-order mark within the text."""


def read(path: str, findings: Findings) -> bytes | None:
    """Return the bytes of the manifest ``path``; None, with a finding, when it cannot be read."""
    try:
        fd = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        why = errors.describe_os_error(error) if isinstance(error, OSError) else str(error)
        findings.add("E001", None, f"the manifest cannot be opened: {why}", "name the file of the manifest")
        return None
    try:
        return _read(fd, findings)
    except OSError as error:
        findings.add("E001", None, f"the manifest cannot be read: {errors.describe_os_error(error)}")
        return None
    finally:
        os.close(fd)


def _read(fd: int, findings: Findings) -> bytes | None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
        remedy = "name the file of the manifest, for example bootseal.yaml"
        findings.add("E001", None, f"the manifest cannot be read: it is {kind}", remedy)
        return None
    chunks = []
    left = SIZE_LIMIT + 1
    while left > 0 and (chunk := os.read(fd, left)):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        findings.add(
            "E002", None, f"the manifest is too large: it has more than {SIZE_LIMIT} bytes", "name the manifest"
        )
        return None
    return b"".join(chunks)


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def decode(data: bytes, findings: Findings) -> str | None:
    """Return the text of a manifest; None, with a finding, when it is not text."""
    data = data.removeprefix(_BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        why = f"the manifest is not UTF-8 text: byte 0x{data[error.start]:02x} does not belong there"
        findings.add("E003", composer.place_at(before, len(before)), why, "save it as UTF-8")
        return None
    if control := _CONTROL.search(text):
        code = ord(control.group())
        why = f"the manifest holds the control character U+{code:04X}: YAML does not allow it"
        findings.add("E003", composer.place_at(text, control.start()), why, 'remove it, or write it escaped, "\\x1b"')
        return None
    return text


def parse(text: str, findings: Findings) -> tree.Mapping | None:
    """Return the manifest's tree; None, with a finding, when the text has no sound one."""
    try:
        root = composer.compose(text, findings)
    except yaml.YAMLError as error:
        _report_syntax(error, text, findings)
        return None
    if root is None:
        return None
    if isinstance(root, tree.Scalar) and root.is_plain and root.value is None:
        findings.add("E004", None, "the manifest is empty", "begin with `version: 1`")
        return None
    if not isinstance(root, tree.Mapping):
        kind = "a list" if isinstance(root, tree.Sequence) else "a single value"
        findings.add("E007", root.place, f"the manifest is {kind}, not a mapping", "begin with `version: 1`")
        return None
    return root


def _report_syntax(error: yaml.YAMLError, text: str, findings: Findings) -> None:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        findings.add("E005", None, f"the manifest is not YAML: {str(error).splitlines()[0]}")
        return
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    context = getattr(error, "context", None)
    index = min(mark.index, len(text))
    at_fault = text[index : index + 1]
    place = composer.place_at(text, index)
    remedy = "correct the syntax"
    if at_fault == "\t":
        problem, remedy = "a tab cannot indent", "indent with spaces"
    elif at_fault and at_fault in "@`%&*!|>":
        problem, remedy = f"text cannot begin with {at_fault}", "put it in quotes"
    elif "unknown escape" in problem:
        problem = r"within double quotes a \ begins an escape of YAML, and this is none"
        remedy = "put the text in single quotes"
    elif "mapping values are not allowed" in problem:
        problem = "a second `: ` within one value, or a key that is indented differently from its neighbours"
        remedy = "put the text in quotes, or align the key"
    elif "did not find expected" in problem and context:
        start = getattr(error, "context_mark", None)
        since = f" that began at line {start.line + 1}" if start else ""
        problem = f"{problem} {context}{since}"
        remedy = "close it, or align what follows"
    findings.add("E005", place, f"the manifest is not YAML: {problem}", remedy)
