"""What ``bootseal init`` writes: a manifest that teaches, and a Containerfile that anybody can build. Pure but for reading bootseal's own.

Rules
-----
* Both work at once, as they are, and say where to go on.
* The Containerfile is bootseal's own, with the base image and what the application needs besides: there is one way to make an image.
* It needs nothing of bootseal's sources: wheels come with the build context, which ``bootseal image build`` or ``bootseal image context``
  makes.
"""

import dataclasses
import re

import yaml

from container import context, detecting, product
from manifest import expressions

MANIFEST, CONTAINERFILE, IGNORE = "bootseal.yaml", context.CONTAINERFILE, ".dockerignore"
STAND_IN = detecting.Program("app", ("/bin/sh", "-c", "echo hello; exec sleep infinity"))
"""What runs where nobody knows yet what does."""
_SHELLS = re.compile(rf"\$\{{(?!{'|'.join(name if name.endswith(':') else name + '}' for name in expressions.NAMES)})")
_BASES = {
    detecting.PYTHON: "docker.io/library/python:{python}-slim-bookworm",
    detecting.NODE: "docker.io/library/node:22-bookworm-slim",
    detecting.OTHER: "docker.io/library/debian:bookworm-slim",
}
_COMMANDS = {detecting.NODE: {"python3": "python3", "node": "nodejs"}}
"""The commands that a base must have, and the Debian packages that have them."""
_INSTALLS = {
    detecting.PYTHON: 'python3 -m pip install --no-cache-dir --no-compile --requirement "/opt/${NAME}/requirements.txt"',
    detecting.NODE: 'cd "/opt/${NAME}" && npm ci --omit=dev',
}


@dataclasses.dataclass(frozen=True)
class Start:
    """What is known of a new container: its ``name``, what runs and what that needs, and its ``base`` image where one was named."""

    name: str
    proposal: detecting.Proposal
    base: str | None = None


def manifest(start: Start) -> str:
    """Return the manifest."""
    programs = "\n".join(
        _program(one, start.proposal.found, is_first=not index) for index, one in enumerate(start.proposal.programs)
    )
    return f"""\
# What this container is: everything that runs in it, is written, is exposed or is required.
#   bootseal check {MANIFEST}    judges it
#   bootseal up {MANIFEST}       boots it here, without a container
#   bootseal image build           makes its image
version: 1
name: {start.name}

programs:
{programs}
# boot:
#   writable: [/var/lib/{start.name}]    # made at boot; nothing else can be written, the image is read-only
# secrets:
#   api-key: {{mounted: /etc/secrets/api-key, programs: [{start.proposal.programs[-1].name}]}}    # only these programs get it

# Where /startupz, /ready and /livez answer whoever runs the container.
probes: {{listen: "0.0.0.0:8080"}}
"""


def _program(program: detecting.Program, found: str, *, is_first: bool) -> str:
    is_stand_in = program is STAND_IN
    lines = [f"  {program.name}:", f"    command: {_flow([_literal(word) for word in program.argv])}"]
    lines[1] += "    # a stand-in: write your program here" if is_stand_in else ""
    lines += [] if is_stand_in else ['    directory: "${here}"']
    if is_first and not is_stand_in:
        lines[0] += f"    # from {found}"
        lines[2] += "    # the folder of this file; in the image /opt and the name"
    lines += ["    oneshot: true    # ready when it has ended with 0"] if program.oneshot else []
    lines += [f"    after: {_flow(list(program.after))}    # not before these are ready"] if program.after else []
    lines += [f"    environment: {_flow(dict(program.environment))}"] if program.environment else []
    if is_first and not program.oneshot:
        lines += [
            '    # ready: {http: "http://127.0.0.1:8000/"}    # ready when this answers; without it, when it has run for a second',
            "    # required: false                           # the container is ready without it",
        ]
    return "\n".join(lines) + "\n"


def _literal(word: str) -> str:
    """Return ``word`` as a manifest has it: ``${`` of a shell's variable begins no expression."""
    return _SHELLS.sub("$${", word)


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=100_000, allow_unicode=True)
    return text.strip()


def containerfile(start: Start) -> str:
    """Return the Containerfile; raises OSError when bootseal's own cannot be read."""
    with open(context.PACKAGED, encoding="utf-8") as file:
        text = file.read()
    python, kind = product.python_version(), start.proposal.kind
    base = start.base or _BASES[kind].format(python=python)
    return _replaced(
        text,
        {
            text[: text.index("ARG BASE\n")]: _HEAD.format(python=python),
            "ARG BASE\nARG PRODUCT_BASE=${BASE}\n": _base(base, kind),
            "FROM ${PRODUCT_BASE} AS dependencies": "FROM base AS dependencies",
            "ARG PYTHON\n": f"ARG PYTHON={python}\n",
            "FROM ${BASE} AS image": "FROM base AS image",
            "ARG NAME\n": f"ARG NAME={start.name}\n",
            "COPY app/ /opt/${NAME}/\n": f"COPY app/ /opt/${{NAME}}/\n{_installing(start.proposal)}",
        },
    )


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        if text.count(old) != 1:
            raise ValueError(f"{context.PACKAGED} has {old!r} {text.count(old)} times, not once")
        text = text.replace(old, new)
    return text


_HEAD = """\
# This container's image: `bootseal image build` brings together what it copies and builds it. Another builder does as well:
#
#   bootseal image context . -o OUT    makes the directory OUT: bootseal and all that it needs, this file and the application
#   podman build OUT                   needs no bootseal and, with a base that is there, no network
#
# With --from-index wheels are not copied but fetched, by version and hash. Each stage begins with the time of its files, so that no step
# of another time is taken from a cache.
#
# BASE is what the application runs on. bootseal's wheels are locked for Python {python}, which it must have; name it by digest
# (IMAGE@sha256:...) and the same inputs give the same image.
"""


def _base(base: str, kind: str) -> str:
    needs = _COMMANDS.get(kind, {"python3": "python3"})
    there = " && ".join(f"command -v {command}" for command in needs)
    return f"""\
ARG BASE={base}

# What the base lacks is installed; one that has it all is taken as it is.
FROM ${{BASE}} AS base
LABEL io.bootseal.epoch="${{SOURCE_DATE_EPOCH}}"
RUN {{ {there}; }} >/dev/null \\
 || {{ apt-get update && apt-get install --yes --no-install-recommends {" ".join(needs.values())} && rm -rf /var/lib/apt/lists/*; }}
"""


def _installing(proposal: detecting.Proposal) -> str:
    if proposal.installs and proposal.kind in _INSTALLS:
        return f"# What the application depends on.\nRUN {_INSTALLS[proposal.kind]}\n"
    return "# What the application depends on is installed here, before its artifacts are locked.\n"


def ignore_file(proposal: detecting.Proposal) -> str:
    """Return the ignore file: what stays outside of the image."""
    more = {detecting.NODE: ["node_modules"], detecting.PYTHON: ["**/*.pyc"]}.get(proposal.kind, [])
    lines = [
        "# What stays outside of the image, beside __pycache__ and what begins with a dot at the top.",
        CONTAINERFILE,
        *more,
    ]
    lines += ["**/.git", "**/.env", "**/.env.*", "**/*.key"]
    return "".join(f"{line}\n" for line in lines)
