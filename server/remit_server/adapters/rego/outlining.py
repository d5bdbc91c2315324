"""Asks a killable worker what a bundle's rules are, so that two bundles can be told apart by more than their text."""

import json

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.checks import text_findings
from remit_server.adapters.rego.pipes import EvaluationFailed, WorkerLost
from remit_server.adapters.rego.process import LOAD_SECONDS, Program, RegoProcess
from remit_server.application.comparing.values import Rules

_MEMORY_BYTES = 512 << 20


async def outlined(bundle: Bundle) -> Rules:
    """Returns the rules that decide, without tests, by digest; raises BundleRefused where they cannot be read."""
    if found := text_findings(bundle.rules):
        raise BundleRefused(found)
    worker = await RegoProcess.start(Program(bundle.rules, "{}", _MEMORY_BYTES, alarm_seconds=2 * LOAD_SECONDS))
    try:
        answer = await worker.ask(wire.OUTLINE, "", seconds=LOAD_SECONDS)
    except (WorkerLost, EvaluationFailed) as wrong:
        mend = "Make the rules shorter and less nested"
        raise BundleRefused([Finding("remit/", 0, f"the rules could not be read: {wrong}", mend)]) from wrong
    finally:
        await worker.close()
    told = json.loads(answer or "{}")
    return Rules(
        digests=tuple((path, file, digest) for path, file, digest in told["rules"]),
        literals=tuple(told["literals"]),
        literals_left_out=int(told["literals_left_out"]),
        reads=tuple(told["reads"]),
    )
