"""`dynseg`: starts the engine, the analyzer and replay; otherwise a thin client of the REST interface."""

from __future__ import annotations

import sys

import click

from cli import (
    asking,
    auditing,
    consents,
    evaluating,
    explaining,
    flows,
    importing,
    logs,
    models,
    policies,
    processes,
    reporting,
    ruling,
)
from runtime.errors import DynsegError


class OneLine(click.Group):
    """A group whose commands end with one readable line and status 1 when something is wrong."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except DynsegError as error:
            click.echo(f"dynseg: {error}", err=True)
            sys.exit(1)


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Dynamic network segmentation by what traffic shows."""


for command in (
    *processes.COMMANDS,
    *asking.COMMANDS,
    *ruling.COMMANDS,
    *policies.COMMANDS,
    *models.COMMANDS,
    evaluating.evaluate,
    *explaining.COMMANDS,
    consents.consent,
    flows.flows,
    importing.import_,
    logs.log,
    auditing.audit,
    reporting.report,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
