"""The generated parts of docs/cli.md, from the commands themselves: ``document(text)`` puts them between their marks.

Rules
-----
* A part begins with ``<!-- command NAME -->`` and ends with ``<!-- end -->``; what stands around the parts is written by hand.
* What click makes of it depends on its version: only names, texts and defaults are taken from it.
"""

import inspect
import re
from collections.abc import Iterable

import click

from entrypoint import cli

_PART = re.compile(r"<!-- command (?P<name>[a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)
_GROUPS = re.compile(r"<!-- commands -->\n.*?<!-- end -->", re.DOTALL)


def document(text: str) -> str:
    """Return ``text``, docs/cli.md, with its generated parts made anew; raises KeyError for a part of no command."""
    context = click.Context(cli.bootseal, info_name="bootseal")
    text = _GROUPS.sub(lambda _: f"<!-- commands -->\n{_table()}<!-- end -->", text)
    return _PART.sub(
        lambda found: f"<!-- command {found['name']} -->\n{_part(context, found['name'])}<!-- end -->", text
    )


def undocumented(text: str) -> list[str]:
    """Return the commands that have no part in ``text``."""
    return [name for name in cli.COMMANDS if f"<!-- command {name} -->" not in text]


def _table() -> str:
    rows = [
        f"| {title} | [`{name}`](#{name}) | {cli.COMMANDS[name]} |\n"
        for title, names in cli.GROUPS.items()
        for name in names
        if name in cli.COMMANDS
    ]
    return "".join(["| | command | |\n|---|---|---|\n", *rows])


def _part(context: click.Context, name: str) -> str:
    command = cli.bootseal.get_command(context, name)
    if command is None:
        raise KeyError(name)
    return "\n".join(_described(f"bootseal {name}", command))


def _described(name: str, command: click.Command) -> list[str]:
    """Return the usage, text and options of ``command``, and those of the commands below it."""
    arguments = [one.metavar or one.name.upper() for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *arguments])
    below = sorted(command.commands.items()) if isinstance(command, click.Group) else []
    parts = [*([] if below else [f"```\n{usage}\n```\n"]), _prose(command.help or ""), _options(options)]
    parts += [part for word, one in below for part in _described(f"{name} {word}", one)]
    return [part for part in parts if part]


def _prose(text: str) -> str:
    """Return the help as markdown: a paragraph a line, what stands behind click's mark for it (U+0008) as it is."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append(f"```\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n")
        else:
            paragraphs.append(f"{' '.join(paragraph.split())}\n")
    return "\n".join(paragraphs)


def _options(options: Iterable[click.Option]) -> str:
    rows = [f"| `{_names(one)}` | {_text(one)} |\n" for one in options if not one.hidden]
    return "".join(["| option | |\n|---|---|\n", *rows]) if rows else ""


def _names(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        choices = "\\|".join(map(str, option.type.choices))
        return f"{names} {choices}"
    return f"{names} {option.metavar or option.type.name.upper()}"


def _text(option: click.Option) -> str:
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    notes = [f"${option.envvar}"] if option.show_envvar and option.envvar else []
    if option.show_default and option.default is not None and not option.is_flag:
        notes.append(f"default `{option.default}`")
    return f"{text} ({', '.join(notes)})" if notes else text
