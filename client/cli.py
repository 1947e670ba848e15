"""`impasto`: the command line. Each command is imported only when it is used.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the service is unreachable, 4 the job was canceled,
130 interrupted.
"""

from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem
from pydantic import ValidationError

COMMANDS = {
    "api": "api.command:api",
    "batch": "client.commands.batch:batch",
    "cancel": "client.commands.jobs:cancel",
    "completion": "client.commands.completion:completion",
    "delete": "client.commands.jobs:delete",
    "demo": "deploy.embedded.commands:demo",
    "doctor": "client.commands.doctor:doctor",
    "estimate": "client.commands.estimate:estimate",
    "jobs": "client.commands.jobs:jobs",
    "keys": "client.commands.keys:keys",
    "presets": "client.commands.presets:presets",
    "recover": "client.commands.recover:recover",
    "result": "client.commands.jobs:result",
    "retry": "client.commands.jobs:retry",
    "status": "client.commands.jobs:status",
    "stylize": "worker.commands.stylize:stylize",
    "submit": "client.commands.submit:submit",
    "up": "deploy.embedded.commands:up",
    "worker": "worker.commands.worker:worker",
}
SUMMARIES = {
    "api": "Serve the HTTP API and the page.",
    "batch": "Paint all pictures of a folder.",
    "cancel": "Stop a job.",
    "completion": "Print what makes your shell complete commands, presets and jobs.",
    "delete": "Remove a finished job and its files.",
    "demo": "Paint the sample pictures with the whole system, on this machine.",
    "doctor": "Check Redis, S3, weights and devices, and say what to do.",
    "estimate": "Say what a job would take, without painting.",
    "jobs": "List the last jobs.",
    "keys": "Make, list and revoke API keys.",
    "presets": "List the presets and their parameters.",
    "recover": "Write the jobs again that Redis has lost, from S3.",
    "result": "Download the picture of a finished job.",
    "retry": "Paint the same again as a new job.",
    "status": "Show how a job is doing.",
    "stylize": "Paint a picture right here, without any service.",
    "submit": "Send two pictures to the service.",
    "up": "Run the whole system on this machine.",
    "worker": "Take jobs from the queue and paint them.",
}


class LazyGroup(click.Group):
    """Knows its commands by name, so that `impasto status` does not import PyTorch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if ctx.resilient_parsing:  # a shell completes: it has no use for sentences
                return None
            raise click.ClickException(
                f"`impasto {cmd_name}` needs {error.name}, which is not installed here:"
                " install Impasto with the extra that has it (api, worker or embedded)"
            ) from None
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a setting that is wrong is named in a sentence."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            if error.title != "Settings":
                raise
            faults = error.errors(include_url=False, include_input=False)
            raise click.ClickException(
                "; ".join(
                    f"IMPASTO_{fault['loc'][0]}".upper() + f": {fault['msg']}" for fault in faults
                )
            ) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Offer commands and options without importing anything."""
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        commands = [CompletionItem(name, help=SUMMARIES[name]) for name in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`impasto COMMAND --help` says the rest, with examples.",
)
@click.version_option(package_name="impasto", prog_name="impasto")
def main() -> None:
    """Paint a photograph in the style of a painting."""


if __name__ == "__main__":
    main(prog_name="impasto")
