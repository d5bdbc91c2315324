"""A part of a task's credentials, for one call of a tool: narrower, short, and gone with the task."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from remit.grant import Credentials, Grant, Issued
from remit.keeping.opening import open_boto3_session
from remit.keeping.renewal import Keyring

if TYPE_CHECKING:
    import boto3

_OVER = "the time of this part is over: attenuate the task again for the next call"


class Attenuated:
    """Narrower credentials out of a task's, for one call; AWS refuses them from `grant.expire_time` on.

    They are never renewed, and are revoked with the task. As a block (`with` or `async with`) it forgets the keys when
    it is left; it may also be kept and used as it is. Safe to share between threads.
    """

    def __init__(self, around: Keyring, issued: Issued) -> None:
        self._around = around
        self._keyring = Keyring(issued.grant.task_id, issued, None, over=_OVER)
        around.keep(self)

    @property
    def grant(self) -> Grant:
        """What exactly these credentials may do, and until when; its `parent` is the grant that they lie within."""
        return self._keyring.grant

    def credentials(self) -> Credentials:
        """Returns the credentials while they work; raises TaskOver once their time, or the task, is over."""
        if self._around.is_over:
            self._around.usable()  # raises, and says why
        return self._keyring.credentials()

    def boto3_session(self, region: str | None = None) -> "boto3.Session":
        """Returns a boto3 session that uses these credentials and no others; `region` defaults to the gateway's.

        Raises ImportError without boto3: `pip install 'remit[boto3]'`.
        """
        return open_boto3_session(self._keyring, region)

    def forget(self) -> None:
        """Forgets the keys: the call is done. They end by themselves, too."""
        self._keyring.close("this part was forgotten: its block was left, it was revoked, or the task is over")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.forget()

    def __repr__(self) -> str:
        state = "over" if self._keyring.is_over else f"until {self.grant.expire_time.isoformat()}"
        return f"<{type(self).__name__} of {self.grant.parent} {state}>"
