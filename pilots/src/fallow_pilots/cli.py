"""`fallow pilot`: what a site admin does with the centre's pilots."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "accounts": "consent:accounts",
    "admits": "admits:admits",
    "attach": "attach:attach_login",
    "check": "look:check",
    "consent": "consent:consent",
    "drain": "stop:drain",
    "explain-network": "network:explain_network",
    "list": "look:list_pilots",
    "log": "look:log_of",
    "offer": "look:offer",
    "resume": "stop:resume",
    "run": "launch:run",
    "status": "look:status",
    "unit": "launch:unit",
    "withdraw": "stop:withdraw",
}
"""Where in `fallow_pilots.commands` each command is; it is imported when it is asked for, as completion asks often."""


class Commands(click.Group):
    """The group of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        module, _, name = COMMANDS.get(cmd_name, "").partition(":")
        return getattr(import_module(f"fallow_pilots.commands.{module}"), name) if name else None


@click.group(cls=Commands)
def pilot() -> None:
    """Give a centre's spare capacity to the federation, and take it back."""
