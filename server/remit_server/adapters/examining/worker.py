"""The process in which an offered bundle is examined: `python -I -m remit_server.adapters.examining.worker`.

Unpacking and reading 64 MiB of somebody's archive, and all that `policy check` does, takes seconds of the interpreter
and hundreds of megabytes: here they are taken from nobody, and given back by the process's end. It knows no secret.
Rego is not evaluated here either, but in workers of its own (`adapters.rego.worker`), which end with it.
"""

import asyncio
import json
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from remit_server.adapters.examining import wire
from remit_server.adapters.examining.order import Order, Signing
from remit_server.adapters.policy.bundles.archive import files_of_archive
from remit_server.adapters.policy.bundles.bundle import SIGNATURES, revision_of
from remit_server.adapters.policy.bundles.manifest import built_time_of
from remit_server.adapters.policy.checking.report import Report, check_files
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.sources.signatures import BundleSignatures
from remit_server.config.policy_settings import BundleKeySettings, BundlePublicKey, BundleSigningSettings

_NICENESS: Final = 10  # agents' calls first


@dataclass(slots=True)
class _Examination:
    """Everything that is found, as far as one could look."""

    order: Order
    revision: str = ""
    refusing: tuple[Finding, ...] = ()
    advice: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] | None = None

    async def of(self, archive: bytes) -> None:
        """Examines an archive; what forbids it to decide is found and not raised."""
        try:
            files = files_of_archive(archive)
        except BundleRefused as refused:
            self.refusing = refused.findings
            return
        self.revision = revision_of(files)
        advise_until = time.monotonic() + self.order.advice_seconds
        signed_by, wrong = _signed_by(files, _signing(self.order.signing))
        report = await check_files(files, self.order.serving, advise_until=advise_until)
        self.refusing = (*wrong, *report.errors)
        self.advice = report.advice
        if not self.refusing:
            self.facts = _facts(report, files, signed_by)

    def answer(self) -> Mapping[str, Any]:
        """Returns what was found, as it is sent."""
        findings = [*_sent(self.refusing, refuses=True), *_sent(self.advice, refuses=False)]
        return {"revision": self.revision, "findings": findings[: wire.MAX_FINDINGS], "facts": self.facts}


def _signed_by(files: Mapping[str, bytes], signing: BundleSigningSettings) -> tuple[str, tuple[Finding, ...]]:
    """Returns the id of the key that signed the files, empty for none, and what is wrong with that."""
    if not signing.required and not (signing.keys and SIGNATURES in files):
        return "", ()
    try:
        return BundleSignatures.by(signing.keys, signing.scope).signed_by(files), ()
    except BundleRefused as refused:
        return "", refused.findings


def _facts(report: Report, files: Mapping[str, bytes], signed_by: str) -> Mapping[str, Any]:
    """Returns what is known of a bundle that may decide."""
    built = built_time_of(files)
    return {
        "size": sum(map(len, files.values())),
        "built_time": None if built is None else built.isoformat(),
        "signed_by": signed_by,
        "rule_files": report.rule_files,
        "capabilities": report.capabilities,
        "entitlements": report.entitlements,
    }


def _sent(findings: Iterable[Finding], *, refuses: bool) -> list[list[Any]]:
    """Returns findings as they are sent, each bounded."""
    return [
        [
            one.path[: wire.MAX_TEXT],
            one.line,
            one.problem[: wire.MAX_TEXT],
            one.mend[: wire.MAX_TEXT],
            one.rule,
            refuses,
        ]
        for one in findings
    ]


def _signing(given: Signing) -> BundleSigningSettings:
    """Returns whose signature a bundle must bear."""
    keys = tuple(BundleKeySettings(name, algorithm, _key(pem)) for name, algorithm, pem in given.keys)
    return BundleSigningSettings(keys, given.scope, given.required)


def _key(pem: bytes) -> BundlePublicKey:
    """Returns a public key, which the configuration was checked to be."""
    key: Any = load_pem_public_key(pem)
    return key  # type: ignore[no-any-return] # of the kinds that the configuration takes


def main() -> None:
    """Reads the order and the archive, examines it, and answers."""
    source = sys.stdin.buffer
    (length,) = wire.HEADER.unpack(source.read(wire.HEADER.size))
    # NOTE: the order is the gateway's own, over its pipe; the archive, which is not, is never unpickled.
    order: Order = pickle.loads(source.read(length))  # noqa: S301
    # NOTE: the kernel ends it should the gateway be gone: SIGALRM keeps its default action.
    signal.alarm(order.seconds)
    resource.setrlimit(resource.RLIMIT_AS, (order.memory_bytes, order.memory_bytes))
    os.nice(_NICENESS)
    examination = _Examination(order)
    asyncio.run(examination.of(source.read()))
    sys.stdout.write(json.dumps(examination.answer()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
