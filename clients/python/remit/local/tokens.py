"""Where tokens come from, each named by a text: a sign-in, a command, a file, a variable, the platform this runs on."""

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from remit.local.errors import InvalidSettings, LoginNeeded, NoToken
from remit.local.settings import LOGIN, Settings
from remit.workload import naming, reading
from remit.workload.token import WorkloadToken

LARGEST_TOKEN = 32 * 1024
COMMAND_SECONDS = 30.0
FORMS = f"login, command:PROGRAM ARGUMENTS, {naming.FORMS}"
_GITHUB = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_VARIABLES = {"github": (_GITHUB,), "gitlab": (reading.GITLAB_VARIABLE,), "detect": (_GITHUB, reading.GITLAB_VARIABLE)}


def token_source(
    text: str, settings: Settings, *, audience: str | None = None, environ: Mapping[str, str] = os.environ
) -> Callable[[], str]:
    """Returns the function that gives a fresh token each time it is called; raises InvalidSettings for unknown texts.

    The function raises NoToken, LoginNeeded or another RemitError. `environ` is where `env:` and platforms look. A
    command is run without a shell, for 30 s at most; its standard output is the token.
    """
    kind, separator, rest = text.partition(":")
    match kind:
        case "login" if not separator:
            return _login(settings)
        case "env" if rest:
            return WorkloadToken("env", {"name": rest}, partial(_variable, rest, environ), keeps=False, waits=False)
        case "command" if rest.strip():
            return partial(_from_command, _words(rest))
        case _:
            return _of_platform(text, audience, environ)


def variables_of(text: str) -> tuple[str, ...]:
    """Returns the variables that a source's token is in or is got by, which no other program is to inherit."""
    kind, _, rest = text.partition(":")
    return (rest,) if rest and kind in {"env", "gitlab"} else _VARIABLES.get(kind, ())


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise InvalidSettings(f"a token command cannot be read: {error}", advice="correct its quotes") from None


def _variable(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise NoToken(f"the variable {name}, which is to hold a token, is empty", advice=f"set {name}")
    return value


def _from_command(command: tuple[str, ...]) -> str:
    """Runs the command; what it says on standard error is left where it goes."""
    told = f"the token command {command[0]}"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, from a file that nobody else may write
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoToken(f"{told} took longer than {COMMAND_SECONDS:.0f} s", advice="run it by hand to see why") from None
    except OSError as error:
        raise NoToken(f"{told} cannot be run: {error.strerror}", advice="correct its path in the settings") from None
    if done.returncode:
        raise NoToken(f"{told} failed with exit code {done.returncode}", advice="run it by hand to see why")
    return _token(done.stdout, told)


def _token(content: bytes, told: str) -> str:
    """Returns the token that was read. NOTE: no message repeats any of it."""
    if len(content) > LARGEST_TOKEN:
        raise NoToken(f"{told} gives more than 32 KiB, which is no token", advice="check what it prints")
    token = content.decode("ascii", errors="replace").strip()
    if not token or not all("!" <= character <= "~" for character in token):
        raise NoToken(f"{told} gives no token but other text, or nothing", advice="check what it prints")
    return token


def _login(settings: Settings) -> Callable[[], str]:
    """Returns the source of the signed-in user's token."""
    if settings.login is None:

        def nobody() -> str:
            raise LoginNeeded(
                f"nobody is signed in: {settings.file} has no [login]",
                advice="run `remit init NAME --issuer ...`, then `remit login`; or give REMIT_SUBJECT_TOKEN_FILE",
            )

        return nobody
    try:
        login = import_module("remit.local.login")  # only this kind of source needs it
    except ModuleNotFoundError as error:
        raise LoginNeeded(
            f"`{LOGIN}` needs {error.name}, which is not installed", advice="pip install 'remit[cli]'"
        ) from None
    source: Callable[[], str] = login.login_source(settings)
    return source


def _of_platform(text: str, audience: str | None, environ: Mapping[str, str]) -> Callable[[], str]:
    """Returns the source of a platform's token."""
    try:
        return naming.token_source(text, audience=audience, environ=environ)
    except ValueError as error:
        # NOTE: its sentence repeats nothing of the text: somebody may have put the token itself there.
        raise InvalidSettings(f"a token source is not understood: {error}", advice=f"write one of: {FORMS}") from None
