"""Has a gateway replay what it has on record on a published revision."""

import json
import re
from dataclasses import dataclass
from typing import Final

from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.report_json import report_of
from remit_server.application.policy.replaying.running import Progress
from remit_server.cli.policy.replaying.progress import Told
from remit_server.cli.policy.replaying.wanted import Wanted
from remit_server.transport.grpc.operator_client import OperatorClient
from remit_server.transport.grpc.policy import calls

MAX_REPORT: Final = 256 << 20
_DIGITS: Final = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class RemoteReplayer:
    """Asks a gateway."""

    client: OperatorClient

    def __call__(self, wanted: Wanted, /) -> Report:
        """Returns the report; raises CallFailed, and ValueError for what cannot be asked for or understood."""
        if not _DIGITS.fullmatch(wanted.against):
            raise ValueError(
                "a gateway replays published revisions: give 8 or more digits of one, after `remit-server policy "
                "publish`; a folder is replayed on a copy of the ledger (--database)"
            )
        if wanted.config is not None or wanted.jobs is not None:
            raise ValueError("--config and --jobs are for a ledger that is read here: a gateway knows its own")
        told, report = Told(quiet=wanted.quiet), bytearray()
        for done, total, piece in calls.replay(self.client, wanted.against, wanted.now - wanted.since, wanted.most):
            report += piece
            if len(report) > MAX_REPORT:
                raise ValueError("the gateway sends a report without end")
            if not piece:
                told(Progress(done, total, None))
        told.done()
        return report_of(json.loads(report))
