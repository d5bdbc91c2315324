"""What goes wrong on this machine, before or beside any gateway; told like every other failure of the client."""

from typing import Any

from remit.errors import Remedy, RemitError, TaskOver


class LocalError(RemitError):
    """A failure of this machine's own making; `advice` says what to do next, as one clause."""

    _reason_unless_said = "LOCAL_FAILURE"

    def __init__(self, message: str, *, advice: str = "", reason: str = "", **told: Any) -> None:
        super().__init__(message, reason=reason or self._reason_unless_said, **told)
        self._said = advice

    def _advice(self) -> str:
        return self._said or super()._advice()


class InvalidSettings(LocalError):  # noqa: N818 - named for what it says
    """The client's settings, or what was given on the command line in their place, cannot be used."""

    _reason_unless_said = "INVALID_SETTINGS"
    _remedy_unless_said = Remedy.CORRECT


class LoginNeeded(LocalError):  # noqa: N818 - named for what it says
    """Nobody has signed in on this machine, or the sign-in is over."""

    _reason_unless_said = "LOGIN_NEEDED"
    _remedy_unless_said = Remedy.REAUTHENTICATE


class LoginBusy(LocalError):  # noqa: N818 - named for what it says
    """Another process is signing in or refreshing, and does not come to an end."""

    _reason_unless_said = "LOGIN_BUSY"
    _remedy_unless_said = Remedy.RETRY_LATER


class IssuerUnavailable(LocalError):  # noqa: N818 - named for what it says
    """The issuer at which people sign in cannot be reached, or says that it is out of order."""

    _reason_unless_said = "ISSUER_UNAVAILABLE"
    _remedy_unless_said = Remedy.RETRY_LATER


class NoToken(LocalError):  # noqa: N818 - named for what it says
    """A source of tokens gave none: a file that is not there, a command that failed, a platform that has none."""

    _reason_unless_said = "NO_TOKEN"
    _remedy_unless_said = Remedy.CORRECT


class EndpointRefused(LocalError):  # noqa: N818 - named for what it says
    """The place or the process that answers at the endpoint's socket is not to be trusted, or answers nonsense."""

    _reason_unless_said = "ENDPOINT_REFUSED"
    _remedy_unless_said = Remedy.CORRECT


class EndpointGone(LocalError):  # noqa: N818 - named for what it says
    """Nothing answers where a program said that it holds a task."""

    _reason_unless_said = "ENDPOINT_GONE"
    _remedy_unless_said = Remedy.GIVE_UP


class NoSuchCommand(LocalError):  # noqa: N818 - named for what it says
    """The command that was to be run is not there."""

    _reason_unless_said = "NO_SUCH_COMMAND"
    _remedy_unless_said = Remedy.CORRECT


class NotExecutable(LocalError):  # noqa: N818 - named for what it says
    """The command that was to be run is there, and cannot be run."""

    _reason_unless_said = "NOT_EXECUTABLE"
    _remedy_unless_said = Remedy.CORRECT


class TooManyTasks(LocalError):  # noqa: N818 - named for what it says
    """This process holds as many tasks as it may."""

    _reason_unless_said = "TOO_MANY_TASKS"
    _remedy_unless_said = Remedy.RETRY_LATER


class SharedTaskOver(TaskOver):
    """A task that programs share was revoked on somebody's word: no other begins until a person says so."""

    def __init__(self, message: str, *, task_id: str = "", **told: Any) -> None:
        super().__init__(message, **told)
        self.task_id = task_id

    def _advice(self) -> str:
        return f"{super()._advice()}; once that is settled, `remit end {self.task_id}` lets the next call begin another"
