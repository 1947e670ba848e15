"""`impasto completion`."""

import click
from click.shell_completion import get_completion_class

HINTS = {
    "bash": "impasto completion bash > ~/.local/share/bash-completion/completions/impasto",
    "zsh": 'impasto completion zsh > "${fpath[1]}/_impasto"',
    "fish": "impasto completion fish > ~/.config/fish/completions/impasto.fish",
}


@click.command(
    epilog="""\b
Examples:
  eval "$(impasto completion bash)"     for this shell only
  impasto completion bash > ~/.local/share/bash-completion/completions/impasto
  impasto completion zsh > "${fpath[1]}/_impasto"
  impasto completion fish > ~/.config/fish/completions/impasto.fish
"""
)
@click.argument("shell", type=click.Choice(list(HINTS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, presets, parameters and jobs."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of Click does not know {shell}")
    script = kind(context.find_root().command, {}, "impasto", "_IMPASTO_COMPLETE")
    click.echo(script.source().strip())
    click.echo(f"\n# For every new shell:\n#   {HINTS[shell]}")
