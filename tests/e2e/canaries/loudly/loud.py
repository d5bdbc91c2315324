"""The gateway as an operator runs it, but with every logger of its own at DEBUG, and a dump of its stacks at a crash.

It notes which method is called, so that nobody has to keep a list of what was gone through, and fails inside for a task
with a purpose of its own: what nobody thought of has to be as silent as the rest.
"""

import faulthandler
import logging
from typing import Any, Final

INJECTED: Final = "fail in a way that nobody thought of"
CALLED: Final = "called"
_log = logging.getLogger("canaries")


def _be_loud() -> None:
    from remit_server.adapters import logs  # noqa: PLC0415 - before anything that logs

    quiet = logs.configure_logs

    def loud(level: int = logging.INFO) -> None:
        quiet(min(level, logging.DEBUG))

    logs.configure_logs = loud


def _note_calls() -> None:
    from remit_server.transport.grpc.interceptor import Guard  # noqa: PLC0415 - after `_be_loud`

    guard: Any = Guard
    intercept = guard.intercept_service

    async def noted(self: Any, continuation: Any, details: Any) -> Any:
        _log.debug("%s %s", CALLED, details.method)
        return await intercept(self, continuation, details)

    guard.intercept_service = noted


def _fail_inside() -> None:
    from remit_server.application.issuing.hearing import Hearing  # noqa: PLC0415 - after `_be_loud`

    questioned = Hearing.questioned

    def failing(self: Hearing, case: Any) -> Any:
        if case.ask.intent.purpose == INJECTED:
            token = case.ask.unverified_subject_token.reveal()  # in a variable, as an honest mistake has it
            raise ZeroDivisionError(f"nobody thought of this ({len(token)})")
        return questioned(self, case)

    Hearing.questioned = failing  # type: ignore[method-assign]


def main() -> None:
    """Runs the command line."""
    faulthandler.enable()
    _be_loud()
    from remit_server.cli import serve  # noqa: PLC0415 - after `_be_loud`

    load = serve._alone

    def alone(settings: Any) -> Any:
        _note_calls()
        _fail_inside()
        return load(settings)

    serve._alone = alone
    from remit_server.__main__ import main as run  # noqa: PLC0415 - after `_be_loud`

    run()


if __name__ == "__main__":
    main()
