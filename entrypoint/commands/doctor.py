"""``bootseal doctor``: what this machine or container lacks for a boot."""

import dataclasses
import sys

import click

from contract import exit_codes, rundir
from entrypoint import diagnosis, machine, options, presenting

SCHEMA = "bootseal.doctor/1"
_STYLES = {diagnosis.OK: presenting.GREEN, diagnosis.WARN: presenting.YELLOW, diagnosis.FAIL: presenting.RED}


@click.command(short_help="Find what this machine or container lacks.")
@click.option(
    "--plan", "plan_directory", metavar="DIR", help="The plan to look at; else the booted one, or the image's."
)
@options.output_format
@options.run_directory
def doctor(run_dir: str, form: str, plan_directory: str | None) -> None:
    """Look at the kernel, rights, limits, engines, the plan, and the boot that runs: a line for each, OK, WARN or FAIL, and what to do.

    It works in a container and outside of one, and changes nothing. Exit 0, or 1 when a line says FAIL.
    """
    facts = machine.collect(rundir.RunDirectory(run_dir), plan_directory)
    findings = diagnosis.judge(facts)
    if form == "text":
        for line in lines(findings, coloured=presenting.is_coloured(sys.stdout)):
            click.echo(line, color=True)
    else:
        value = {
            "schema": SCHEMA,
            "findings": [dataclasses.asdict(one) for one in findings],
            "facts": dataclasses.asdict(facts),
        }
        click.echo(presenting.dump(value, form), nl=False)
    failed = any(one.level == diagnosis.FAIL for one in findings)
    sys.exit(exit_codes.GENERIC_FAILURE if failed else exit_codes.OK)


def lines(findings: list[diagnosis.Finding], *, coloured: bool) -> list[str]:
    """Return the findings for people: level, what, what was found, and behind an arrow what to do."""
    width = max(len(one.what) for one in findings)
    told = []
    for one in findings:
        level = presenting.styled(f"{one.level:<4}", _STYLES[one.level], coloured=coloured)
        told.append(f"{level}  {one.what:<{width}}  {presenting.plain(one.found)}")
        if one.do:
            told.append(f"{'':<4}  {'':<{width}}  → {presenting.plain(one.do)}")
    return told
