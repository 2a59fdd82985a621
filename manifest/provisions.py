"""What Stage A provides before programs run, as it stands in the plan: identity, secrets, artifacts, users. Standard library only."""

from contract import records

ED25519, NOSTR = "ed25519", "nostr"
KEY_KINDS = (ED25519, NOSTR)
"""The keys an identity may have; the seal is signed by the first."""

DIGEST, METADATA, PRESENCE = "digest", "metadata", "presence"
VERIFICATIONS = (DIGEST, METADATA, PRESENCE)
"""How an artifact is verified at boot: every byte of its closure; type, mode, size and link targets; that it is there."""

FILE, ELF, SCRIPT, PYTHON, NODE, TREE = "file", "elf", "script", "python", "node", "tree"
ARTIFACT_KINDS = (FILE, ELF, SCRIPT, PYTHON, NODE, TREE)

PROGRAM_USERS = "program-users"
"""The exception under which PID 1 is root and every program has a user of its own."""

_INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "HOSTNAME", "LANG", "LANGUAGE", "TZ", "TERM", "BOOTSEAL_SPEEDUPS"}
)


def is_inherited(variable: str) -> bool:
    """Say whether every program inherits ``variable`` of the container's environment, whatever the manifest says."""
    return variable in _INHERITED or variable.startswith("LC_")


RUNTIMES = ("shell", "python", "node", "ruby", "go", "java", "r", "perl")


@records.dataclass(frozen=True)
class User:
    """A numeric user and group; no entry in /etc/passwd is needed."""

    uid: int
    gid: int


@records.dataclass(frozen=True)
class KeyPlan:
    """A key of the identity, of one of KEY_KINDS, and where it comes from.

    The ``file``, or else the secret called ``secret``; where neither is given, the identity's store, and where that holds
    none it is generated.
    """

    kind: str
    file: str | None
    secret: str | None


@records.dataclass(frozen=True)
class IdentityPlan:
    """Where the identity comes from: the variable ``env``, else ``default`` ("hostname", or a label).

    ``store`` is the directory that keys are kept in, or None; ``keys`` always begins with ED25519.
    """

    env: str | None
    default: str
    store: str | None
    keys: tuple[KeyPlan, ...]

    def key(self, kind: str) -> KeyPlan | None:
        """Return the key of ``kind``, or None."""
        return next((key for key in self.keys if key.kind == kind), None)


@records.dataclass(frozen=True)
class SecretPlan:
    """A secret and who gets it; the value is in no plan.

    Exactly one source is given: ``file``; ``mounted``, a file that must lie on a mount of its own; ``variable`` of the
    container's environment; ``generate_bytes`` random bytes, delivered as that many times two hexadecimal digits. Only
    ``variable`` and ``generate_bytes`` may be given together: what the variable does not say is generated.

    Each of ``programs`` gets it as a file, and as the variable ``environment`` where that is given.
    """

    name: str
    generate_bytes: int | None
    file: str | None
    mounted: str | None
    variable: str | None
    environment: str | None
    programs: tuple[str, ...]


@records.dataclass(frozen=True)
class ArtifactCheck:
    """A command that must exit 0 within ``timeout_seconds``, run without a shell.

    It runs in ``directory``, or where that is a file, in the one that holds it.
    """

    argv: tuple[str, ...]
    directory: str
    timeout_seconds: float


@records.dataclass(frozen=True)
class ArtifactPlan:
    """Something the image must contain; ``kind`` is one of ARTIFACT_KINDS, ``verify`` one of VERIFICATIONS.

    ``kind`` None leaves it to what is found when the closure is locked.
    """

    id: str
    path: str
    required: bool
    kind: str | None = None
    verify: str = PRESENCE
    check: ArtifactCheck | None = None


@records.dataclass(frozen=True)
class LockPlan:
    """The closures that the image was locked to: the digest of ``closures.lock`` beside the plan.

    ``here`` is the directory that relative paths in it count from: the manifest's.
    """

    sha256: str
    here: str


@records.dataclass(frozen=True)
class ExceptionPlan:
    """An exception from the hardened profile, by name, and the reason that the manifest gives."""

    name: str
    reason: str
