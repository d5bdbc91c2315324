"""Shell completion: typer's script for bash, zsh or fish, in a place of its own, and the line that loads it."""

from collections.abc import Mapping
from pathlib import Path

from remit.local.errors import InvalidSettings
from remit.local.setting_up.edits import Edit, edit, read

SHELLS = ("bash", "zsh", "fish")
_PROGRAM, _VARIABLE = "remit", "_REMIT_COMPLETE"


def usual_shell(environ: Mapping[str, str]) -> str | None:
    """Returns the shell of this user, if completion is known for it."""
    name = Path(environ.get("SHELL", "")).name
    return name if name in SHELLS else None


def completion_edits(shell: str, home: Path) -> list[Edit]:
    """Returns the edits that give this shell completion; raises InvalidSettings for an unknown shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # noqa: PLC0415 - an extra

    if shell not in SHELLS:
        raise InvalidSettings("completion is for bash, zsh and fish", advice="choose one of them, or none")
    text = get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=shell)
    script = (
        home
        / {
            "bash": ".local/share/remit/completion.bash",
            "zsh": ".zfunc/_remit",
            "fish": ".config/fish/completions/remit.fish",
        }[shell]
    )
    edits = [Edit(script, read(script), f"{text}\n".encode(), f"(typer's completion for {shell})\n")]
    if shell == "bash":
        edits.append(edit(home / ".bashrc", {"completion": 'source "$HOME/.local/share/remit/completion.bash"\n'}))
    if shell == "zsh":
        edits.append(edit(home / ".zshrc", {"completion": "fpath+=~/.zfunc\nautoload -Uz compinit && compinit\n"}))
    return edits
