"""The process in which an offered bundle is examined: `python -I -m remit_server.adapters.examining.worker`.

Unpacking and reading 64 MiB of somebody's archive takes seconds of the interpreter and hundreds of megabytes: here they
are taken from nobody, and given back by the process's end. It knows no secret. Rego is not evaluated here either, but
in workers of its own (`adapters.rego.worker`), which end with it.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from remit_server.adapters.examining import wire
from remit_server.adapters.policy.archive import files_of_archive
from remit_server.adapters.policy.bundle import MANIFEST, Bundle, examine_files
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.fitting import missing_roles
from remit_server.adapters.rego.embedded import EmbeddedRego, check_bundle

_NICENESS: Final = 10  # agents' calls first


@dataclass(frozen=True, slots=True)
class Order:
    """What to hold the bundle against: the roles of the gateway. Within which bounds to work."""

    roles: tuple[str, ...]
    memory_bytes: int
    seconds: int


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
            reading = examine_files(files)
            self.revision = reading.bundle.revision
            faults = {*reading.faults, *missing_roles(reading.bundle, self.order.roles)}
            advice = await _checked(reading.bundle, faults)
        except BundleRefused as refused:
            self.refusing = refused.findings
            return
        self.advice = (*reading.advice, *advice)
        self.facts = _facts(reading.bundle, files)

    def answer(self) -> Mapping[str, Any]:
        """Returns what was found, as it is sent."""
        findings = [*_sent(self.refusing, refuses=True), *_sent(self.advice, refuses=False)]
        return {"revision": self.revision, "findings": findings[: wire.MAX_FINDINGS], "facts": self.facts}


async def _checked(bundle: Bundle, faults: set[Finding]) -> tuple[Finding, ...]:
    """Returns advice on the rules; raises BundleRefused with every fault that is known then.

    The rules are checked even when the files have faults, so that their author sees all of them at once.
    """
    try:
        advice = await check_bundle(bundle)
    except BundleRefused as refused:
        raise BundleRefused({*faults, *refused.findings}) from refused
    if faults:
        raise BundleRefused(faults)
    engine = await EmbeddedRego.start(bundle)  # it has refused strangers
    await engine.close()
    return advice


def _facts(bundle: Bundle, files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Returns what is known of a bundle that may decide."""
    catalogue = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
    # Reading the bundle has checked the default policy's catalogue; another policy may have none.
    entitlements = catalogue.get("entitlements", {}).get("entitlements", {})
    return {
        "size": sum(map(len, files.values())),
        "built_time": _built_time(files[MANIFEST]),
        "rule_files": len(bundle.rules),
        "capabilities": len(bundle.capabilities),
        "entitlements": len(entitlements),
    }


def _built_time(manifest: bytes) -> str | None:
    """Returns when the manifest says that the bundle was built, None when it does not say."""
    told = json.loads(manifest).get("metadata", {})
    built = told.get("built_time") if isinstance(told, dict) else None
    try:
        return datetime.fromisoformat(built).isoformat() if isinstance(built, str) else None
    except ValueError:
        return None


def _sent(findings: Iterable[Finding], *, refuses: bool) -> list[list[Any]]:
    """Returns findings as they are sent, each bounded."""
    return [
        [one.path[: wire.MAX_TEXT], one.line, one.problem[: wire.MAX_TEXT], one.mend[: wire.MAX_TEXT], "", refuses]
        for one in findings
    ]


def main() -> None:
    """Reads the order and the archive, examines it, and answers."""
    source = sys.stdin.buffer
    (length,) = wire.HEADER.unpack(source.read(wire.HEADER.size))
    given = json.loads(source.read(length))
    order = Order(tuple(given["roles"]), given["memory_bytes"], given["seconds"])
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
