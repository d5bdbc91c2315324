"""The process in which a bundle is read: `python -I -m remit_server.adapters.policy.reading.worker`.

A bundle of 100,000 entitlements is seconds of work and a gigabyte of memory: here they are taken from nobody's call,
and given back by the process's end. It knows no secret, opens nothing, and evaluates no Rego.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final, NoReturn

from remit_server.adapters.policy.bundles.archive import files_of_archive
from remit_server.adapters.policy.bundles.bundle import Bundle, bundle_of
from remit_server.adapters.policy.bundles.facts import facts_of
from remit_server.adapters.policy.bundles.fitting import missing_roles
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.reading import wire

_NICENESS: Final = 5  # agents' calls first


def _read(archive: bytes, roles: list[str] | None) -> tuple[Bundle, Mapping[str, Any]]:
    """Returns the bundle of an archive and what else is told of it; raises BundleRefused."""
    files = files_of_archive(archive)
    bundle = bundle_of(files)
    if roles is not None and (missing := missing_roles(bundle, roles)):
        raise BundleRefused(missing)
    facts = facts_of(files, bundle)
    catalog = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
    return bundle, {
        "revision": bundle.revision,
        "modules": bundle.modules,
        "capabilities": {name: catalog["capabilities"][name] for name in bundle.capabilities},
        "size": facts.size,
        "built_time": None if facts.built_time is None else facts.built_time.isoformat(),
        "entitlements": facts.entitlements,
    }


def _answered(archive: bytes, roles: list[str] | None) -> list[bytes]:
    """Returns the answer in its parts."""
    try:
        bundle, told = _read(archive, roles)
    except BundleRefused as refused:
        findings = [astuple(finding) for finding in refused.findings[: wire.MOST_FINDINGS]]
        return [wire.REFUSED, *_framed(json.dumps(findings).encode())]
    return [wire.READ, *_framed(json.dumps(told).encode()), *_framed(bundle.data_json.encode())]


def _framed(content: bytes) -> tuple[bytes, bytes]:
    return wire.LENGTH.pack(len(content)), content


def main() -> NoReturn:
    """Reads one order, writes one answer, and ends."""
    (length,) = wire.LENGTH.unpack(sys.stdin.buffer.read(wire.LENGTH.size))
    order = json.loads(sys.stdin.buffer.read(length))
    memory, seconds = order["memory_bytes"], order["seconds"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # NOTE: the parent kills it at its deadline; should the parent be gone, the kernel does.
    signal.alarm(seconds)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the parent's to handle
    os.nice(_NICENESS)
    status = 0
    try:
        for part in _answered(sys.stdin.buffer.read(), order["roles"]):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    except BaseException:  # noqa: BLE001 - a traceback may quote what an author wrote
        status = 70
    os._exit(status)


if __name__ == "__main__":
    main()
