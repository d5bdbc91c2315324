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
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from remit_server.adapters.examining import wire
from remit_server.adapters.policy.archive import files_of_archive
from remit_server.adapters.policy.bundle import SIGNATURES, Bundle, examine_files
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.fitting import missing_roles
from remit_server.adapters.policy.manifest import built_time_of
from remit_server.adapters.policy.sources.signatures import BundleSignatures
from remit_server.adapters.rego.embedded import EmbeddedRego, check_bundle
from remit_server.config.policy_settings import BundleKeySettings, BundlePublicKey, BundleSigningSettings

_NICENESS: Final = 10  # agents' calls first


@dataclass(frozen=True, slots=True)
class Order:
    """What to hold the bundle against: the roles of the gateway, and whose signature. Within which bounds to work."""

    roles: tuple[str, ...]
    signing: BundleSigningSettings
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
            signed_by, wrong = _signed_by(files, self.order.signing)
            advice = await _checked(reading.bundle, {*faults, *wrong})
        except BundleRefused as refused:
            self.refusing = refused.findings
            return
        self.advice = (*reading.advice, *advice)
        self.facts = _facts(reading.bundle, files, signed_by)

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


def _signed_by(files: Mapping[str, bytes], signing: BundleSigningSettings) -> tuple[str, tuple[Finding, ...]]:
    """Returns the id of the key that signed the files, empty for none, and what is wrong with that."""
    if not signing.required and not (signing.keys and SIGNATURES in files):
        return "", ()
    try:
        return BundleSignatures.by(signing.keys, signing.scope).signed_by(files), ()
    except BundleRefused as refused:
        return "", refused.findings


def _facts(bundle: Bundle, files: Mapping[str, bytes], signed_by: str) -> Mapping[str, Any]:
    """Returns what is known of a bundle that may decide."""
    catalogue = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
    # Reading the bundle has checked the default policy's catalogue; another policy may have none.
    entitlements = catalogue.get("entitlements", {}).get("entitlements", {})
    built = built_time_of(files)
    return {
        "size": sum(map(len, files.values())),
        "built_time": None if built is None else built.isoformat(),
        "signed_by": signed_by,
        "rule_files": len(bundle.rules),
        "capabilities": len(bundle.capabilities),
        "entitlements": len(entitlements),
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


def _signing(given: Mapping[str, Any]) -> BundleSigningSettings:
    """Returns whose signature a bundle must bear."""
    return BundleSigningSettings(
        tuple(BundleKeySettings(name, algorithm, _key(pem)) for name, algorithm, pem in given["keys"]),
        given["scope"],
        given["required"],
    )


def _key(pem: str) -> BundlePublicKey:
    """Returns a public key, which the configuration was checked to be."""
    key: Any = load_pem_public_key(pem.encode())
    return key  # type: ignore[no-any-return] # of the kinds that the configuration takes


def main() -> None:
    """Reads the order and the archive, examines it, and answers."""
    source = sys.stdin.buffer
    (length,) = wire.HEADER.unpack(source.read(wire.HEADER.size))
    given = json.loads(source.read(length))
    order = Order(tuple(given["roles"]), _signing(given["signing"]), given["memory_bytes"], given["seconds"])
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
