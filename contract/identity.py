"""The public identity directory: its layout, and how it is read. Standard library only.

Rules
-----
* ``id`` is a DNS-1123 label, ``boot-id`` 32 hexadecimal digits, ``ed25519.pub`` a PEM SubjectPublicKeyInfo (RFC 8410); with
  a nostr key ``nostr.pub`` is its 64 hexadecimal digits (x-only, BIP-340), ``npub`` the same key by NIP-19, ``did``
  ``did:nostr:`` and the digits. None but the PEM ends in a newline.
* It is read at each use and never remembered; every file of the layout that is there must be of its form, and the three of
  nostr come together and name one key. Whatever else lies there is not ours to judge.
* Stage A makes it, and then ``id``, ``boot-id`` and ``ed25519.pub`` must be there. On a read-only file system it is an outer
  runner's, mounted there: only ``id`` must be there, and what is not there (no runner knows our boot id) is None.
* No symlink is followed. The one exception is the form in which Kubernetes projects volumes (``id -> ..data/id``,
  ``..data -> ..TIME``, pkg/volume/util/atomic_writer.go), on a read-only file system: that is two links of this very form
  within this very directory, and nothing beside it is reached.
"""

import base64
import errno
import os
import re
from collections.abc import Mapping

from contract import directories, errors, files, records, rundir

ID, BOOT_ID, ED25519, NOSTR, NPUB, DID = "id", "boot-id", "ed25519.pub", "nostr.pub", "npub", "did"
FILES = (ID, BOOT_ID, ED25519, NOSTR, NPUB, DID)
"""Every file of the layout."""
_OURS = (ID, BOOT_ID, ED25519)
_OF_NOSTR = (NOSTR, NPUB, DID)
_LIMIT = 4096
_KEY_BYTES = 32
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PROJECTED = "..data"
_UPDATES = 3

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HEX_128 = re.compile(r"[0-9a-f]{32}")
_HEX_256 = re.compile(r"[0-9a-f]{64}")
_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP-173
_NPUB = re.compile(rf"npub1[{_CHARSET}]{{58}}")
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/]{59}=)\n-----END PUBLIC KEY-----\n?")
_REMEDY = "Stage A makes it; look for what else wrote there"


@records.dataclass(frozen=True)
class PublicIdentity:
    """What the identity directory says; ``ed25519`` is the raw key. What a mounted one does not hold is None."""

    id: str
    boot_id: str | None
    ed25519: bytes | None
    nostr: str | None
    npub: str | None
    did: str | None


def is_label(text: str) -> bool:
    """Say whether ``text`` is a DNS-1123 label (RFC 1123, section 2.1)."""
    return _LABEL.fullmatch(text) is not None


def encode_ed25519(raw: bytes) -> bytes:
    """Return the public key ``raw``, 32 bytes, as ``ed25519.pub`` holds it."""
    text = base64.b64encode(_SPKI_PREFIX + raw).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n".encode()


def read(run: rundir.RunDirectory) -> PublicIdentity:
    """Return what the identity directory of ``run`` says now; raises UnsafePath or InvalidRecord naming the file."""
    return read_directory(run.identity)


def read_id(run: rundir.RunDirectory) -> str:
    """Return the container's id; raises UnsafePath or InvalidRecord naming the file."""
    fd = _open(run.identity)
    try:
        data = _read_file(fd, ID, run.identity, is_mounted=is_read_only(fd))
    finally:
        os.close(fd)
    if data is None:
        raise _missing(run.identity, ID)
    return parse({ID: data}, run.identity, is_mounted=True).id


def read_directory(path: str) -> PublicIdentity:
    """Return what the identity directory ``path`` says now; raises UnsafePath or InvalidRecord naming the file."""
    fd = _open(path)
    try:
        is_mounted = is_read_only(fd)
        found = {name: _read_file(fd, name, path, is_mounted=is_mounted) for name in FILES}
    finally:
        os.close(fd)
    return parse({name: data for name, data in found.items() if data is not None}, path, is_mounted=is_mounted)


def is_read_only(fd: int) -> bool:
    """Say whether the directory ``fd`` lies on a read-only file system: the run directory never does, a mount can."""
    return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)


def parse(content: Mapping[str, bytes], path: str, *, is_mounted: bool) -> PublicIdentity:
    """Return what the files ``content`` of the directory ``path`` say; raises InvalidRecord naming the file."""
    for name in (ID,) if is_mounted else _OURS:
        if name not in content:
            raise _missing(path, name)
    texts = {name: _text(content[name], name, path) for name in FILES if name in content}
    for name, is_right, form in (
        (ID, is_label, "it is not a DNS-1123 label, without a newline"),
        (BOOT_ID, _HEX_128.fullmatch, "it is not 32 hexadecimal digits, without a newline"),
        (NOSTR, _HEX_256.fullmatch, "it is not 64 hexadecimal digits, without a newline"),
        (NPUB, _NPUB.fullmatch, "it is not npub1 and 58 characters of bech32, without a newline"),
    ):
        if name in texts and not is_right(texts[name]):
            raise errors.InvalidRecord(f"identity {path}/{name}", form, _REMEDY)
    _judge_nostr(texts, path)
    return PublicIdentity(
        texts[ID],
        texts.get(BOOT_ID),
        _decode_ed25519(texts[ED25519], path) if ED25519 in texts else None,
        texts.get(NOSTR),
        texts.get(NPUB),
        texts.get(DID),
    )


def _judge_nostr(texts: Mapping[str, str], path: str) -> None:
    """See that the files of nostr are all there or none, and name one key."""
    there = [name for name in _OF_NOSTR if name in texts]
    if there and len(there) < len(_OF_NOSTR):
        [first, *_] = [name for name in _OF_NOSTR if name not in texts]
        raise errors.InvalidRecord(f"identity {path}/{first}", f"it is missing beside {there[0]}", _REMEDY)
    if not there:
        return
    if texts[DID] != f"did:nostr:{texts[NOSTR]}":
        raise errors.InvalidRecord(f"identity {path}/{DID}", f"it is not did:nostr: and the key of {NOSTR}", _REMEDY)
    if _key_of_npub(texts[NPUB]) != texts[NOSTR]:
        raise errors.InvalidRecord(f"identity {path}/{NPUB}", f"it is not the key of {NOSTR}", _REMEDY)


def _key_of_npub(npub: str) -> str:
    """Return the digits of the key in ``npub``: 52 characters of 5 bits, the last 4 bits filling; then the checksum.

    The checksum is not looked at here: the bits name the same key as the digits, or it is refused.
    """
    bits = 0
    for character in npub[5:57]:
        bits = bits << 5 | _CHARSET.index(character)
    return f"{bits >> 4:064x}" if not bits & 0b1111 else ""


def _decode_ed25519(text: str, path: str) -> bytes:
    match = _PEM.fullmatch(text)
    der = base64.b64decode(match[1]) if match else b""
    raw = der[len(_SPKI_PREFIX) :]
    if encode_ed25519(raw).rstrip() != text.encode().rstrip() or len(raw) != _KEY_BYTES:
        raise errors.InvalidRecord(f"identity {path}/{ED25519}", "it is not a PEM public Ed25519 key", _REMEDY)
    return raw


def _text(data: bytes, name: str, path: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise errors.InvalidRecord(f"identity {path}/{name}", "it is not ASCII text", _REMEDY) from error


def _missing(path: str, name: str) -> errors.InvalidRecord:
    return errors.InvalidRecord(f"identity {path}/{name}", "it is missing", _REMEDY)


def _open(path: str) -> int:
    try:
        return os.open(path, directories.OPEN_FLAGS)
    except OSError as error:
        raise errors.InvalidRecord(f"identity {path}", errors.describe_os_error(error), _REMEDY) from error


def _read_file(fd: int, name: str, path: str, *, is_mounted: bool) -> bytes | None:
    """Return what the file ``name`` of the directory ``fd`` holds, None where it is missing."""
    try:
        try:
            return files.read_bounded(name, _LIMIT, dir_fd=fd)
        except OSError as error:
            if error.errno != errno.ELOOP or not is_mounted:
                raise
            return _read_projected(fd, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.InvalidRecord(f"identity {path}/{name}", errors.describe_os_error(error), _REMEDY) from error
    except errors.UnsafePath as error:
        raise errors.UnsafePath(f"identity {path}/{name}", error.why, _REMEDY) from error


def _read_projected(fd: int, name: str) -> bytes:
    """Return what the file ``name`` of a volume that Kubernetes projected holds; raises OSError."""
    version = ""
    for _ in range(_UPDATES):  # a version that was replaced meanwhile is removed
        version = _version(fd, name)
        try:
            version_fd = os.open(version, directories.OPEN_FLAGS, dir_fd=fd)
        except FileNotFoundError:
            continue
        try:
            return files.read_bounded(name, _LIMIT, dir_fd=version_fd)
        finally:
            os.close(version_fd)
    raise OSError(errno.ENOTDIR, f"{version} is missing")


def _version(fd: int, name: str) -> str:
    """Return the directory that holds the present files of a projected volume; raises OSError: ELOOP when it is none."""
    try:
        is_projected = os.readlink(name, dir_fd=fd) == f"{_PROJECTED}/{name}"
        version = os.readlink(_PROJECTED, dir_fd=fd)
    except OSError:
        is_projected, version = False, ""
    if not is_projected or version == ".." or not version.startswith("..") or "/" in version:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return version
