"""Puts calls about approvals on record, the refused ones with their reason."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from remit_server.application.approvals.ports import Approvals
from remit_server.application.oversight.admitting import called
from remit_server.domain.errors import told_of
from remit_server.domain.operator import Operator

SERVICE: Final = "ApprovalService"


@asynccontextmanager
async def on_record(
    approvals: Approvals, operator: Operator, method: str, about: str, *, also_done: bool = True
) -> AsyncIterator[None]:
    """Records a call once its block is done or has failed; without `also_done` what is done has a record of its own."""
    rpc = f"{SERVICE}.{method}"
    try:
        yield
    except Exception as error:
        await approvals.record(called(operator, rpc, reason=told_of(error).reason.value, about=about))
        raise
    if also_done:
        await approvals.record(called(operator, rpc, allowed=True, about=about))
