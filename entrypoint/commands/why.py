"""``bootseal why``: the shortest true answer to "why is it not ready?"."""

import sys
import time

import click

from contract import errors, exit_codes, rundir, snapshot
from entrypoint import asking, options, presenting, situation, status_text, unknown, why_text


@click.command(short_help="Say why it is not ready: the first cause, and its last words.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=options.complete_program)
@click.option("-a", "--all", "every", is_flag=True, help="Every row that is missing, not the first cause alone.")
@options.absolute_times
@options.output_format
@options.run_directory
def why(name: str | None, run_dir: str, form: str, *, every: bool, absolute: bool) -> None:
    """Say in one sentence why the container is not ready, and what the program that causes it printed last.

    Of programs that wait for each other, the one at the end of the chain is the cause. With NAME, everything about that program, or
    requirement (its id, or KIND:ID). After a boot that failed, its cause is told from the run directory. Exit 0 when it, or NAME, is
    ready, 1 when not, or not known; 2 for an unknown NAME, 6 when there is no boot to tell of.
    """
    found = asking.look(rundir.RunDirectory(run_dir))
    if found.phase == situation.ABSENT:
        asking.expect(rundir.RunDirectory(run_dir), found)
    look = status_text.Look(time.time(), absolute, presenting.is_coloured(sys.stdout), every)
    if name is None:
        value, lines, is_ready = why_text.to_json(found, every=every), why_text.lines(found, look), found.ready
    elif (row := None if found.program(name) else found.requirement(name)) is not None:
        value, lines, is_ready = (
            why_text.requirement_to_json(found, row),
            why_text.of_requirement(found, row, look),
            row.met,
        )
    else:
        view = program(found, name)
        value, lines = why_text.program_to_json(found, view), why_text.of_program(found, view, look)
        is_ready = view.state == snapshot.READY and not found.unconfirmed
    text = "".join(f"{line}\n" for line in lines) if form == "text" else presenting.dump(value, form)
    click.echo(text, nl=False, color=True)
    sys.exit(exit_codes.OK if is_ready else exit_codes.GENERIC_FAILURE)


def program(found: situation.Situation, name: str) -> snapshot.ProgramView:
    """Return the program ``name``; raises Unknown with the name that is closest, of programs and requirements."""
    view = found.program(name)
    if view is None:
        names = [one.name for one in found.programs]
        if not names:
            raise errors.BootsealError(f"program {name}", f"no program can be told of: {found.reason}", found.to_do)
        if found.told_by != situation.PROBES:
            why = f"no program has that name, and requirements are not known: {found.reason}"
            raise errors.BootsealError(name, why, presenting.nearest(name, names))
        raise unknown.error(unknown.PROGRAM, name, [*names, *(one.id for one in found.requirements)])
    return view
