"""How Remit's gateway is set up for the world of the attacks: its configuration, its ceilings and its policy."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.attack.black_box.broker import AUDIENCE, HOME, OPERATORS, REGION, WORLD, Agent, Scene
from tests.attack.black_box.scene import ceiling_text
from tests.e2e.gateways import PLENTY
from tests.fake_sts import ACCESS_KEY_ID, SECRET_ACCESS_KEY

from remit_sandbox.configuration import sample_policies
from remit_server.adapters.policy.bundles.bundle import stamp

_CATALOGUE = "remit/catalog"


def named(agent: Agent) -> str:
    """Returns what the gateway calls an agent; the issuers' aliases are their names in the world."""
    return f"{agent.issuer}:{agent.name}"


def configured(scene: Scene, folder: Path) -> Path:
    """Writes the gateway's configuration for the scene, and the files that it names."""
    pair = scene.authority.issue_server(["localhost", "127.0.0.1"])
    secret = _private(folder / "aws-secret-access-key", SECRET_ACCESS_KEY)
    roles = {arn: _private(folder / f"{_account(arn)}.json", ceiling_text(arn)) for arn in WORLD.ceilings}
    tables: list[tuple[str, Mapping[str, object]]] = [
        (
            "[listen.bearer]",
            {
                "address": "127.0.0.1:0",
                "certificate_file": pair.certificate_path,
                "key_file": pair.key_path,
            },
        ),
        *(("[[issuers]]", _issuer(name, url, scene)) for name, url in scene.issuers.items()),
        *(("[[agents]]", _agent(agent, scene)) for agent in _agents()),
        *(("[[roles]]", {"arn": arn, "ceiling_file": file}) for arn, file in roles.items()),
        ("[policy]", {"bundle": _bundle(folder / "policies", scene.issuers)}),
        (
            "[aws]",
            {
                "region": REGION,
                "endpoint_url": scene.sts_url,
                "access_key_id": ACCESS_KEY_ID,
                "secret_access_key_file": secret,
            },
        ),
        ("[limits]", PLENTY),
        ("[database]", {"url": f"sqlite:///{folder / 'remit.sqlite3'}"}),
    ]
    lines = [
        f"{header}\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) for header, table in tables
    ]
    return _private(folder / "remit.toml", "\n".join(lines))


def _toml(value: object) -> str:
    return json.dumps(value if isinstance(value, bool | int | list) else str(value))


def _private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def _account(arn: str) -> str:
    return arn.replace(":", "-").replace("/", "-")


def _issuer(name: str, url: str, scene: Scene) -> Mapping[str, object]:
    usual = {
        "issuer": url,
        "alias": name,
        "audience": AUDIENCE,
        "algorithms": ["RS256"],
        "actors": True,
        "allowed_hosts": ["127.0.0.1"],
        "ca_file": scene.authority.bundle_path,
    }
    return {**usual, "operator_audience": OPERATORS} if name == HOME else usual


def _agents() -> list[Agent]:
    known = {agent for delegable in WORLD.delegable.values() for agent in delegable.agents}
    return sorted(known, key=named)


def _agent(agent: Agent, scene: Scene) -> Mapping[str, object]:
    return {
        "id": named(agent).replace(":", "-"),
        "issuer": scene.issuers[agent.issuer],
        "subject": agent.name,
        "client_ids": [named(agent)],
    }


def _bundle(folder: Path, issuers: Mapping[str, str]) -> Path:
    """Writes the sample policy with the world's entitlements and delegations in the place of its own."""
    shutil.copytree(sample_policies(), folder)
    by_group: dict[str, list[str]] = {}
    for name, delegable in WORLD.delegable.items():
        by_group.setdefault(delegable.group, []).append(name)
    entitlements = {
        "roles": list(WORLD.ceilings),
        "by_group": by_group,
        "entitlements": {
            name: {
                "description": name,
                "actors": [named(agent) for agent in delegable.agents],
                "issuers": [issuers[delegable.issuer]],
                "role_arn": delegable.role,
                "permissions": [
                    {"actions": list(actions), "resources": list(resources), "conditions": []}
                    for actions, resources in delegable.permissions
                ],
                "max_credential_seconds": WORLD.longest_seconds,
                "max_task_seconds": WORLD.longest_seconds,
            }
            for name, delegable in WORLD.delegable.items()
        },
    }
    (folder / _CATALOGUE / "entitlements/data.yaml").write_text(json.dumps(entitlements))
    handing_on = {"deepest": 1, "hands_to": {"home:copilot": ["home:crawler"]}}
    (folder / _CATALOGUE / "delegation/data.yaml").write_text(json.dumps(handing_on))
    stamp(folder)
    return folder
