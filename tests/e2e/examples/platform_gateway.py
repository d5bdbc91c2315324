"""Gateways set up as the examples' pages say: with the file that goes into remit.toml, and who may in the policy."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.gateways import OwnGateway, own_gateway
from tests.e2e.machines import BIN
from tests.e2e.watched import plain_environment
from tests.policy_bundles import DEFAULT_POLICIES

from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.policy.bundles.bundle import stamp

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
PATIENCE = 90
_OWN_ACTORS = 'actors: ["spiffe://remit.sandbox/agent/*", "sandbox:reporter"]'
_LOCAL_KEYS = 'key_set_url = "{url}/jwks"\nallowed_hosts = ["127.0.0.1"]\nca_file = "{authority}"\n'


@contextmanager
def gateway_of(example: str, sandbox: Sandbox, folder: Path) -> Iterator[OwnGateway]:
    """Runs a gateway with the example's gateway.toml and the policy of its page; the keys are the sandbox's."""
    local = _LOCAL_KEYS.format(url=sandbox.issuer.url, authority=sandbox.authority.bundle_path)
    issuer = f"{(EXAMPLES / example / 'gateway.toml').read_text()}{local}"
    config = folder / "with-issuer.toml"
    config.write_text(sandbox.config.read_text().replace("\n[[agents]]\n", f"\n{issuer}\n[[agents]]\n", 1))
    bundle = _policies(yaml.safe_load(block(example, "yaml")), folder)
    with own_gateway(dataclasses.replace(sandbox, config=config), folder, {"bundle": str(bundle)}) as gateway:
        yield gateway


def _policies(said: Mapping[str, Any], folder: Path) -> Path:
    """Returns the default policy with the groups and actors that the example's page says."""
    bundle = folder / "policies"
    shutil.copytree(DEFAULT_POLICIES, bundle)
    file = bundle / "remit/catalog/entitlements/data.yaml"
    data = yaml.safe_load(file.read_text())
    data["by_group"].update(said["by_group"])
    for name, more in said["entitlements"].items():
        data["entitlements"][name]["actors"] += more["actors"]
    file.write_text(yaml.safe_dump(data))
    stamp(bundle)
    return bundle


def block(example: str, language: str, number: int = 0) -> str:
    """Returns a block of code of the example's page."""
    pieces = (EXAMPLES / example / "README.md").read_text().split(f"```{language}\n")[1:]
    return pieces[number].partition("```")[0]


def checkout(example: str, folder: Path, *, umask: int = 0o022) -> Path:
    """Returns a copy of the example as somebody's checkout, made under this umask."""
    target = folder / "checkout"
    before = os.umask(umask)
    try:
        shutil.copytree(EXAMPLES / example, target, copy_function=shutil.copyfile)
    finally:
        os.umask(before)
    return target


def bash(script: str, folder: Path, environ: Mapping[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    """Runs a script of an example in bash."""
    return subprocess.run(  # noqa: S603 - the example's own commands
        ["/bin/bash", *options, "-c", script],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment(sandbox: Sandbox, folder: Path, gateway: OwnGateway, **more: str) -> dict[str, str]:
    """Returns what a shell of a platform has: no credentials, this gateway's and this AWS's addresses, an aws CLI."""
    for name in ("home", "runtime"):
        (folder / name).mkdir(mode=0o700)
    own = {
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "PATH": f"{_aws().parent}:{BIN}:{os.environ['PATH']}",
        "REMIT_GATEWAY": gateway.bearer,
        "REMIT_CA_FILE": str(sandbox.authority.bundle_path),
        "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
        **more,
    }
    return plain_environment(own)


def _aws() -> Path:
    """Returns the aws CLI; skips where there is none, or fails under REMIT_REQUIRE_REAL=1."""
    found = ROOT / ".venv-tools-awscli" / "bin" / "aws"
    if not found.exists():
        missing = "there is no aws CLI in .venv-tools-awscli: make tools"
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
