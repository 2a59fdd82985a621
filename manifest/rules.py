"""Every diagnostic there is: its code, its title and why it exists. docs/diagnostics.md is made from this table.

Rules
-----
* A code means one thing for ever: it is never reused, and a rule that goes away leaves a gap.
* ``E…`` stops the build, ``W…`` does not.
* E00x and E01x concern the file and its YAML, E02x and E03x single values, E04x expressions, from E05x on what several
  values say together. ``GROUPS`` says what each is about.
* Each has an example (``manifest.explained``) that gives it, and is tested to.
"""

from manifest import adoption_rules, hardening_rules, port_rules, program_rules, value_rules
from manifest.explained import example, shelf
from manifest.rule import Rule

_GENERAL = (*value_rules.TABLE, *program_rules.TABLE)
_TABLES = (*_GENERAL, *hardening_rules.TABLE, *port_rules.TABLE, *adoption_rules.TABLE)
RULES: dict[str, Rule] = {rule.code: rule for rule in sorted(_TABLES, key=lambda rule: rule.code)}
"""Every rule by its code."""

_RANGES = {
    "The file and its YAML": ("E001-E014",),
    "Single keys and values": ("E020-E039",),
    "Expressions, checks and signals": ("E040-E049",),
    "Programs: names, order, readiness, restarts, stops": ("E050-E057", "E061-E062", "E064-E076", "W001", "W003-W004"),
    "Directories and artifacts": ("E058-E060", "E084-E085", "W002", "W007"),
    "Secrets, keys and users": ("E077-E083", "E086-E087", "W005-W006", "W008"),
    "Probes, requirements and what is told": ("E063", "E088-E095", "W009"),
}
_OF_TABLES = {
    "Features, exceptions and limits": hardening_rules.TABLE,
    "Ports, secrets that were written down, deployment": port_rules.TABLE,
    "Existing configurations": adoption_rules.TABLE,
}


def _grouped() -> dict[str, tuple[Rule, ...]]:
    found = {title: tuple(rule for rule in _GENERAL if _is_in(rule.code, spans)) for title, spans in _RANGES.items()}
    return {title: tuple(sorted(table, key=lambda rule: rule.code)) for title, table in (found | _OF_TABLES).items()}


def _is_in(code: str, spans: tuple[str, ...]) -> bool:
    return any(span[:4] <= code <= span[-4:] for span in spans)


GROUPS: dict[str, tuple[Rule, ...]] = _grouped()
"""The rules by what they are about; each stands once."""


def group_of(code: str) -> str:
    """Return the title of the group that ``code`` is in."""
    return next(title for title, found in GROUPS.items() if any(rule.code == code for rule in found))


def document() -> str:
    """Return docs/diagnostics.md."""
    lines = [
        "# Diagnostics",
        "",
        "What `bootseal check` and `bootseal build` can say about a manifest. `E…` stops the build, `W…` does not. A code",
        "means one thing for ever.",
        "",
        "Each is explained by an example: with the lines that begin with `-` it is what is wrong, with those that begin with `+`",
        "instead it is right. `bootseal rules CODE` prints the same, and `bootseal rules` all codes.",
        "",
    ]
    for title, found in GROUPS.items():
        codes = ", ".join(f"[{rule.code}](#{_anchor(rule)})" for rule in found)
        lines.append(f"* {title}: {codes}")
    for rule in RULES.values():
        lines += ["", f"## {rule.code}: {rule.title}", "", rule.explanation, *_example(shelf.EXAMPLES.get(rule.code))]
    return "\n".join(lines) + "\n"


def _anchor(rule: Rule) -> str:
    """Return what a page of markdown calls the rule's heading (GitHub's way: letters, digits, - and _ stay)."""
    text = f"{rule.code}: {rule.title}".lower()
    return "".join(one for one in text.replace(" ", "-") if one.isalnum() or one in "-_")


def _example(found: example.Example | None) -> list[str]:
    """Return the lines of an example; none where nobody wrote one yet."""
    if found is None:
        return []
    lines = []
    for name, text in found.listings.items():
        what = (
            f"In a shell, where `{example.MANIFEST}` is to be:" if name == example.SCRIPT else f"`{name}`, beside it:"
        )
        if name == example.MANIFEST:
            what = "With `bootseal up`:" if found.up else ""
        lines += ["", what] if what else []
        lines += ["", "```diff", *text.splitlines(), "```"]
    return [*lines, "", found.note] if found.note else lines
