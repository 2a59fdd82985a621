"""``bootseal rules``: what can be wrong with a manifest, and how does it look when it is right?"""

import difflib
import sys
from typing import Any

import click
from click import shell_completion

from contract import errors, exit_codes
from entrypoint import options, presenting
from manifest import rules as table
from manifest.explained import example, shelf
from manifest.rule import Rule

SCHEMA = "bootseal.rules/1"
_WIDTH = 100
_STYLES = {example.FAILING: presenting.RED, example.FIXED: presenting.GREEN}


class UnknownCode(errors.BootsealError):
    """There is no diagnostic of that code; the command was called wrongly."""

    exit_code = exit_codes.USAGE_ERROR


def _complete(_context: click.Context, _parameter: click.Parameter, start: str) -> list[Any]:
    return [
        shell_completion.CompletionItem(code, help=rule.title)
        for code, rule in table.RULES.items()
        if code.startswith(start.upper())
    ]


@click.command(short_help="Explain what can be wrong with a manifest.")
@click.argument("codes", nargs=-1, metavar="[CODE]...", shell_complete=_complete)
@options.output_format
def rules(codes: tuple[str, ...], form: str) -> None:
    """Print every code with its title; with CODE what it means, why, and an example that is wrong and then right.

    In the example, lines that begin with `-` are wrong, and those with `+` stand in their place when it is right. Exit 0, or 2 for an
    unknown CODE.
    """
    chosen = [_rule(code) for code in dict.fromkeys(code.upper() for code in codes)]
    if form != "text":
        wanted = chosen or list(table.RULES.values())
        click.echo(presenting.dump({"schema": SCHEMA, "rules": [_to_json(rule) for rule in wanted]}, form), nl=False)
        return
    coloured = presenting.is_coloured(sys.stdout)
    texts = [explained(rule, coloured=coloured) for rule in chosen] or [listed(coloured=coloured)]
    click.echo("\n".join(texts), nl=False, color=True)


def _rule(code: str) -> Rule:
    """Return the rule ``code``; raises UnknownCode."""
    found = table.RULES.get(code)
    if found is None:
        shown = presenting.plain(code[:_WIDTH])
        close = difflib.get_close_matches(code[:_WIDTH], table.RULES, n=1)
        remedy = f"did you mean {close[0]}?" if close else "`bootseal rules` lists all"
        raise UnknownCode(f"code {shown}", "no diagnostic has this code", remedy)
    return found


def listed(*, coloured: bool) -> str:
    """Return every code with its title, by group."""
    lines = []
    for title, found in table.GROUPS.items():
        lines += [presenting.styled(title, presenting.BOLD, coloured=coloured), *map(_listed, found), ""]
    return "\n".join(lines)


def _listed(rule: Rule) -> str:
    return f"  {rule.code}  {rule.title}"


def explained(rule: Rule, *, coloured: bool) -> str:
    """Return what ``rule`` means and why, and its example."""
    lines = [presenting.styled(f"{rule.code}: {rule.title}", presenting.BOLD, coloured=coloured), ""]
    lines += [*click.wrap_text(rule.explanation, _WIDTH).splitlines()]
    found = shelf.EXAMPLES[rule.code]
    for name, text in found.listings.items():
        lines += ["", f"{_headline(name, found)}:", *(_line(line, coloured=coloured) for line in text.splitlines())]
    if found.note:
        lines += ["", *click.wrap_text(found.note, _WIDTH).splitlines()]
    return "\n".join(lines) + "\n"


def _headline(name: str, found: example.Example) -> str:
    if name == example.SCRIPT:
        return f"in a shell, where {example.MANIFEST} is to be"
    return f"{name}, with `bootseal up`" if name == example.MANIFEST and found.up else name


def _line(line: str, *, coloured: bool) -> str:
    return presenting.styled(f"  {line[:1]} {line[1:]}".rstrip(), _STYLES.get(line[:1], ""), coloured=coloured)


def _to_json(rule: Rule) -> dict[str, Any]:
    found = shelf.EXAMPLES[rule.code]
    return {
        "code": rule.code,
        "title": rule.title,
        "severity": "error" if rule.code.startswith("E") else "warning",
        "group": table.group_of(rule.code),
        "explanation": rule.explanation,
        "command": "up" if found.up else "check",
        "failing": _files(found, example.FAILING),
        "fixed": _files(found, example.FIXED),
        "note": found.note or None,
    }


def _files(found: example.Example, side: str) -> dict[str, Any]:
    """Return one side of an example: its ``files`` by name, and the ``script`` that makes them in the working directory, or null."""
    listings = found.side(side)
    return {
        "files": {name: text for name, text in listings.items() if name != example.SCRIPT},
        "script": listings.get(example.SCRIPT),
    }
