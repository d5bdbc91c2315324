"""What the security side does: every method with every kind of token, and every command."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bundle_keys import bundle_key
from tests.e2e.canaries.agents import AN_ANSWER
from tests.e2e.canaries.journey import CANARY, EXTENDED, Journey
from tests.e2e.canaries.traces import private_part
from tests.e2e.gateways import Q3, raw_stub
from tests.e2e.test_approvals import publishing
from tests.e2e.test_attacks_on_operators import CALLS, STREAMS, UPLOADS, bearer, channel_to

import remit
from remit.v1 import grant_service_pb2 as grants
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit_sandbox.configuration import sample_policies
from remit_server.adapters.policy.bundles.bundle import read_bundle, stamp

# What `kept_policies` and `set_up` run, and `oversaw` in the extended tests.
RUNS: Final = frozenset(
    {
        *(f"remit-server policy {name}" for name in ("activate", "download", "list", "publish", "replay", "rollback")),
        *(f"remit-server policy {name}" for name in ("show", "sign", "simulate")),
        *(f"remit-server policy shadow {name}" for name in ("show", "start", "stop")),
        *("remit-server aws doctor", "remit-server aws plan", "remit-server config check", "remit-server probe"),
        *("remit-server database grants", "remit-server events configure", "remit-server events status"),
        *("remit-server issuer export", "remit-server issuer keys"),
        *("remit-server audit export", "remit-server audit verify"),
    }
)
_NO_TASK: Final = grants.RevokeTarget(task_id="a" * 26)
WATCHING: Final = frozenset({"an operator's", "a stranger's"})
TURNED_AWAY: Final = frozenset({"nobody's", "a user's", "an agent's"})
ONE_OF_EACH: Final = frozenset({"ListGrants", "WatchGrants", "PublishRevision", "DownloadRevision"})
REVOKE_NOTHING: Final = (GrantServiceStub, grants.RevokeGrantsRequest(target=_NO_TASK, why="x"))


def called(journey: Journey, _: remit.Gateway) -> None:
    """Every method is called by an operator, by nobody, and with tokens that are not for it."""
    tokens = {
        "an operator's": journey.operator(),
        "nobody's": None,
        "a stranger's": journey.operator("mallory"),
        "a user's": journey.token("bob", client_id="reporter"),
        "an agent's": journey.secret(journey.sandbox.issuer.agent_token("reporter"), "an agent's token"),
        "rubbish": journey.secret(CANARY, "a canary"),
    }
    with channel_to(journey.sandbox, journey.own.bearer) as channel:
        for who, token in tokens.items():
            for method, (make, request) in {**CALLS, "RevokeGrants": REVOKE_NOTHING}.items():
                if who in WATCHING and method.startswith("Watch"):
                    continue  # says nothing for as long as nothing happens: `watched` has them
                if who in TURNED_AWAY and method not in ONE_OF_EACH and not EXTENDED:
                    continue  # before any method is looked at
                call = getattr(make(channel), method)
                given = iter([request]) if method in UPLOADS else request
                metadata = () if token is None else bearer(token)
                _tried(journey, partial(call, given, metadata=metadata, timeout=AN_ANSWER), is_stream=method in STREAMS)


def watched(journey: Journey, gateway: remit.Gateway) -> None:
    """Operators watch while something happens."""
    with channel_to(journey.sandbox, journey.own.bearer) as channel:
        streams = []
        for method in ("WatchGrants", "WatchEvents", "WatchApprovals"):
            make, request = CALLS[method]
            streams.append(getattr(make(channel), method)(request, metadata=bearer(journey.operator()), timeout=20))
        with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
            journey.holds(task.credentials())
            for stream in streams[:2]:
                journey.shows(next(iter(stream)))
        for stream in streams:
            stream.cancel()


def _tried(journey: Journey, call: Any, *, is_stream: bool) -> None:
    """Calls, and keeps what is answered or how it fails."""
    try:
        answer = call()
        journey.shows(*list(answer)[:3] if is_stream else [answer])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is shown to somebody
        journey.shows_failure(error)


def approved(journey: Journey, _: remit.Gateway) -> None:
    """People are asked, look, and say yes, no, and nothing that is understood; webhooks tell them."""
    for verb in ("approve", "deny"):
        with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
            request = publishing(journey.token(), change="ABC-123")
            approval = stub.IssueCredentials(request, timeout=AN_ANSWER).approval
            name = approval.name
            journey.remit_server("approvals", "list", token=journey.operator())
            journey.remit_server("approvals", "show", name, token=journey.operator())
            decided = ["--digest", approval.digest, "--comment", "as agreed"]
            journey.remit_server("approvals", verb, name, *decided, token=journey.operator())
            journey.remit_server("approvals", verb, name, token=journey.token("bob", client_id="reporter"))
            try:
                journey.holds(stub.IssueCredentials(request, timeout=AN_ANSWER).credentials)
            except Exception as error:  # noqa: BLE001 - a no is shown too
                journey.shows_failure(error)


def kept_policies(journey: Journey, _: remit.Gateway) -> None:
    """Policies are published, activated, looked at, replayed, simulated, shadowed and rolled back."""
    run = partial(journey.remit_server, "policy")
    folder = journey.machine.folder / "policies"
    shutil.copytree(sample_policies(), folder)
    rule = folder / "remit/issue/issue.rego"
    rule.write_text(f"{rule.read_text()}\n# another revision\n")
    stamp(folder)
    digest = read_bundle(folder).revision[:12]
    run("publish", "--bundle", str(folder), token=journey.operator())
    for words in (["list"], ["show", digest], ["download", digest, "--output", str(folder.with_name("got.tar.gz"))]):
        run(*words, token=journey.operator())
    for words in (["shadow", "start", digest], ["shadow", "show", digest], ["shadow", "stop"]):
        run(*words, token=journey.operator())
    claims = folder.with_name("claims.json")
    claims.write_text(json.dumps({"sub": "alice", "groups": ["analysts"]}))
    intent = folder.with_name("intent.json")
    wanted = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2026/q3/*"]}
    intent.write_text(json.dumps({"purpose": "summarise Q3", "permissions": [wanted]}))
    asked = ["--claims", str(claims), "--agent", "copilot", "--intent", str(intent)]
    run("simulate", *asked, token=journey.operator())
    run("replay", "--against", digest, "--since", "1d", token=journey.operator())
    run("activate", digest, "--why", "a drill", "--yes", token=journey.operator())
    run("rollback", "--why", "it was a drill", "--yes", token=journey.operator())
    for words in (["list"], ["activate", digest, "--why", "x"], ["rollback", "--why", "x"]):
        run(*words, token=journey.secret(CANARY, "a canary"))
    run("sign", "--bundle", str(folder), "--key", str(_signing_key(journey)), "--key-id", "ci")


def _signing_key(journey: Journey) -> Path:
    """Makes a key to sign bundles with, and notes it."""
    file = bundle_key(journey.machine.folder).path
    journey.secret(private_part(file.read_text()), "a signing key")
    return file


def oversaw(journey: Journey, gateway: remit.Gateway) -> None:
    """Operators look at grants and records, revoke, block and unblock."""
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        journey.holds(task.credentials())
        run, name = journey.remit_server, task.grant.name
        run("grants", "list", token=journey.operator())
        run("grants", "show", name, token=journey.operator())
        run("grants", "list", "--access-key", task.credentials().access_key_id, "--json", token=journey.operator())
        run("grants", "list", token=journey.token("bob", client_id="reporter"))
        run("grants", "revoke", "--task", task.grant.task_id, "--why", "a drill", "--yes", token=journey.operator())
        run(
            "grants",
            "revoke",
            "--agent",
            "spiffe://remit.sandbox/agent/nobody",
            "--block",
            "--why",
            "a drill",
            "--yes",
            token=journey.operator(),
        )
        run("grants", "blocks", token=journey.operator())
        run("grants", "unblock", "blocks/" + "a" * 26, "--why", "x", token=journey.operator())
    ledger = f"sqlite:///{journey.own.log_path.with_name('ledger.sqlite3')}"
    request_id = "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11"
    for words in (
        ["list"],
        ["list", "--json"],
        *((["verify"], ["export"], ["export", "--format", "ocsf"]) if EXTENDED else ()),
        ["explain", request_id],
    ):
        run("audit", *words, "--database", ledger)
    run("audit", "erase", "--database", ledger, "--subject", "nobody", "--issuer", "https://nowhere.example")


def set_up(journey: Journey, _: remit.Gateway) -> None:
    """Whoever runs the gateway checks, plans and prints, with the files of secrets at hand."""
    config = str(journey.own.log_path.with_name("remit.toml"))
    run = journey.remit_server
    run("config", "check", "--config", config)
    run("config", "check", "--config", config, "--ask-issuers")
    run("aws", "plan", "--config", config)
    run("aws", "doctor", "--config", config)
    run("issuer", "keys", "--config", config)
    run("issuer", "export", "--config", config)
    for verb in ("status", "configure"):
        run("events", verb, "acme", "--config", config)
    run("database", "grants", "--role", "remit")
    pair = journey.sandbox.agents["copilot"]
    source = journey.machine.folder / "probe-token"
    source.write_text(journey.token())
    own = ["--certificate", str(pair.certificate_path), "--key", str(pair.key_path), "--subject", "alice"]
    where = ["--gateway", journey.own.mtls, "--ca-file", str(journey.sandbox.authority.bundle_path)]
    run("probe", *where, *own, "--subject-token", f"file:{source}", "--json")
    source.write_text(journey.token("bob"))
    run("probe", *where, *own, "--subject-token", f"file:{source}", "--json")
    source.unlink()
