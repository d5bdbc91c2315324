"""`remit-server probe` against real gateways: a sound one, and ones that were broken on purpose."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateways import OwnGateway, own_gateway
from tests.e2e.sts_relay import sts_relay
from tests.e2e.watched import BIN, plain_environment
from tests.policy_bundles import ENTITLEMENT, NO, written
from tests.sts_log import Ceiling
from typer.testing import CliRunner, Result

from remit_sandbox.certificates import Authority
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import events
from remit_server.application.probing.values import REQUEST_ID_PREFIX
from remit_server.cli.main import app

IDENTITY = ("forged_signature", "key_in_header", "unsigned", "altered_claims", "expired", "other_audience")
ALL = (*IDENTITY, "no_agent", "forged_agent", "unbound_agent", "wide_intent", "floor_intent")
ROLE = "arn:aws:iam::111122223333:role/remit-reports"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
SHARED: Any = ["sandbox:copilot", "sandbox:crawler"]
WIDEST = {
    **ENTITLEMENT,
    "role_arn": ROLE,
    "permissions": [{"actions": ["s3:Get*"], "resources": ["arn:aws:s3:::*"], "conditions": []}],
}
OPEN_HANDED = f"""package remit.issue

default decision := {json.dumps(NO)}

decision := {json.dumps({"allow": True, "entitlements": [WIDEST], "reasons": []})} if input.subject.id == "alice"
"""


@dataclass
class Prober:
    """The prober's identity: an agent of the sandbox, and a user who may do a little by it."""

    sandbox: Sandbox
    folder: Path
    agent: list[str]
    client_id: str
    target: str
    tokens: dict[str, str] = field(default_factory=dict)

    def give(self, option: str, token: str) -> None:
        """Writes a token to a file, for an option."""
        file = self.folder / option
        file.write_text(token)
        self.tokens[option] = f"file:{file}"

    def command(self, *more: str) -> list[str]:
        """Returns the command line."""
        words = ["probe", "--gateway", self.target, "--ca-file", str(self.sandbox.authority.bundle_path)]
        words += ["--subject", "alice", *self.agent, *more]
        for option, source in self.tokens.items():
            words += [f"--{option}", source]
        return words

    def run(self, *more: str) -> Result:
        """Runs it to its end."""
        return CliRunner().invoke(app, self.command(*more))

    def found(self, *more: str) -> tuple[int, dict[str, Any], dict[str, tuple[str, str]]]:
        """Returns the exit code, the JSON object, and by check its outcome and reason."""
        done = self.run("--json", *more)
        told = json.loads(done.stdout)
        return done.exit_code, told, {one["check"]: (one["outcome"], one["reason"]) for one in told["checks"]}


@pytest.fixture(params=["certificate", "bearer"])
def prober(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Prober:
    """A prober with all the tokens that it can make use of, on the listener that it uses."""
    return prober_of(sandbox, tmp_path, with_certificate=request.param == "certificate")


def prober_of(sandbox: Sandbox, folder: Path, *, with_certificate: bool, target: str = "") -> Prober:
    pair = sandbox.agents["copilot"]
    if with_certificate:
        agent = ["--certificate", str(pair.certificate_path), "--key", str(pair.key_path)]
        made = Prober(sandbox, folder, agent, "copilot", target or sandbox.mtls)
    else:
        file = folder / "agent"
        file.write_text(sandbox.issuer.agent_token("reporter"))
        made = Prober(sandbox, folder, ["--bearer", f"file:{file}"], "reporter", target or sandbox.bearer)
    made.give("subject-token", sandbox.issuer.token("alice", client_id=made.client_id))
    return made


def give_all(prober: Prober) -> None:
    """Gives the tokens that only the issuer can make."""
    token, own = prober.sandbox.issuer.token, prober.client_id
    prober.give("unbound-token", token("alice", client_id="crawler"))
    prober.give("other-audience-token", token("alice", client_id=own, audience="payroll"))
    prober.give("expired-token", token("alice", client_id=own, iat=1_700_000_000, exp=1_700_000_900))


def test_a_sound_gateway_refuses_all_of_it_for_the_right_reasons(prober: Prober) -> None:
    give_all(prober)

    code, told, outcomes = prober.found()

    assert (code, told["alarm"], told["conclusive"], told["control"]) == (0, False, True, "")
    assert tuple(outcomes) == ALL
    assert {outcome for outcome, _ in outcomes.values()} == {"refused"}
    assert {outcomes[name][1] for name in IDENTITY} == {"SUBJECT_TOKEN_REJECTED"}
    assert outcomes["unbound_agent"][1] == "TOKEN_NOT_BOUND"
    assert outcomes["floor_intent"][1] == "NEVER_ISSUABLE"
    assert outcomes["wide_intent"][1] == "CEILING_EXCEEDED"


def test_what_it_has_no_token_for_is_skipped_and_said(prober: Prober) -> None:
    done = prober.run()

    assert done.exit_code == 0, done.output
    for name, option in (("other_audience", "--other-audience-token"), ("unbound_agent", "--unbound-token")):
        assert re.search(rf"skipped\s+{name} .*{option}", done.stdout)
    assert "all 8 wrong requests were refused, each for the right reason; 3 more were not asked" in done.stdout


def test_a_probing_user_without_an_entitlement_is_no_all_clear(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True)
    prober.give("subject-token", sandbox.issuer.token("mallory", client_id=prober.client_id))

    done = prober.run("--subject", "mallory")

    assert done.exit_code == 2, done.output
    assert re.search(r"unclear +wide_intent +POLICY_DENIED", done.stdout)
    assert "the ceiling was not tried" in done.stdout
    assert "all 8" not in done.stdout


def test_a_round_that_cannot_ask_is_told_in_json_too(prober: Prober) -> None:
    prober.tokens["subject-token"] = "command:/bin/false"

    code, told, outcomes = prober.found()

    assert (code, told["alarm"], told["conclusive"], outcomes) == (2, False, False, {})
    assert told["control"].startswith("the prober cannot ask: the token command /bin/false failed")


def test_its_records_are_recognised_and_none_is_an_issuance(prober: Prober, sandbox: Sandbox) -> None:
    before = len(list(events(sandbox.database)))

    prober.run()

    records = [json.loads(one.body_text) for one in list(events(sandbox.database))[before:]]
    own = [one for one in records if one.get("request_id", "").startswith(REQUEST_ID_PREFIX)]
    assert len(own) >= 6
    assert {one["reason"] for one in own} >= {"SUBJECT_TOKEN_REJECTED", "NEVER_ISSUABLE"}


@pytest.fixture(scope="module")
def broken(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway whose policy gives alice everything, under a ceiling that holds nothing back, to whichever agent."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "ceiling.json").write_text(json.dumps(ALLOW_ALL))
    policies = written(folder / "policies", {"remit/issue/issue.rego": OPEN_HANDED})
    values = {"bundle": str(policies), "ceiling_file": str(folder / "ceiling.json")}
    with sts_relay(sandbox.aws.endpoint_url) as relay:
        relay.ceiling = Ceiling(json.dumps(ALLOW_ALL))
        with own_gateway(sandbox, folder, {**values, "endpoint_url": relay.url}) as gateway:
            yield gateway


def records_of(gateway: OwnGateway) -> list[tuple[str, dict[str, Any]]]:
    ledger = gateway.log_path.parent / "ledger.sqlite3"
    return [(one.kind, json.loads(one.body_text)) for one in events(ledger)]


def test_a_gateway_that_gives_everything_raises_the_alarm_and_the_task_is_over_at_once(
    broken: OwnGateway, sandbox: Sandbox, tmp_path: Path
) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True, target=broken.mtls)
    textfile = tmp_path / "remit.prom"

    done = prober.run("--textfile", str(textfile))

    assert done.exit_code == 1
    assert re.search(r"ALARM +wide_intent +credentials were issued; task [a-z2-7]{26} was ended at once", done.stdout)
    assert "ok       floor_intent      NEVER_ISSUABLE" in done.stdout
    metrics = textfile.read_text()
    assert "\nremit_probe_alarm 1\n" in metrics
    assert 'remit_probe_outcome{check="wide_intent",wrong="intent",outcome="issued"} 1' in metrics
    task = re.search(r"task ([a-z2-7]{26})", done.stdout)
    assert task is not None
    assert [kind for kind, body in records_of(broken) if body.get("task_id") == task[1]][-1] != "credentials_issued"
    assert any(kind == "task_ended" and body["task_id"] == task[1] for kind, body in records_of(broken))


def test_a_gateway_that_binds_no_token_to_an_agent_raises_the_alarm(sandbox: Sandbox, tmp_path: Path) -> None:
    with own_gateway(sandbox, tmp_path, {"client_ids": SHARED}) as gateway:
        prober = prober_of(sandbox, tmp_path, with_certificate=True, target=gateway.mtls)
        give_all(prober)

        code, told, outcomes = prober.found()

    assert code == 1
    assert outcomes["unbound_agent"] == ("accepted", "NEVER_ISSUABLE")
    (alarm,) = [one for one in told["checks"] if one["check"] == "unbound_agent"]
    assert alarm["request_id"] in {body.get("request_id") for _, body in records_of(gateway)}
    assert {outcome for name, (outcome, _) in outcomes.items() if name != "unbound_agent"} == {"refused"}


def test_a_gateway_that_is_away_is_no_refusal(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True, target="127.0.0.1:1")

    code, told, outcomes = prober.found("--textfile", str(tmp_path / "remit.prom"))

    assert (code, told["alarm"], told["conclusive"]) == (2, False, False)
    assert {outcome for outcome, _ in outcomes.values()} == {"unclear", "skipped"}
    assert "\nremit_probe_conclusive 0\n" in (tmp_path / "remit.prom").read_text()


def test_why_a_gateway_is_away_is_told_once(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True, target="127.0.0.1:1")

    done = prober.run()

    first, *checks, verdict = done.stdout.splitlines()
    assert first.startswith(
        "unclear  the right identity is not taken, so that no refusal proves anything: UNAVAILABLE: "
    )
    assert "; what to do: " in first
    assert all(line.startswith("skipped ") or line.endswith("no answer, for the reason above") for line in checks)
    assert verdict.startswith("inconclusive: ")


def test_a_certificate_at_the_port_for_bearer_tokens_is_told_the_other_port(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True, target=sandbox.bearer)

    done = prober.run()

    assert "ACTOR_REJECTED: the agent is not authenticated: no bearer token came" in done.stdout.splitlines()[0]
    assert (
        "what to do: check --certificate and --key, or --bearer, and that --gateway is the port for it" in done.stdout
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gateway", "https://g.example:8443"], "--gateway (or REMIT_GATEWAY) is HOST:PORT, such as"),
        (["--ca-file", "MISSING"], "--ca-file MISSING cannot be read: No such file or directory."),
        (["--ca-file", "OTHER.key"], "--ca-file OTHER.key is not what it must be in PEM"),
        (["--certificate", "MISSING"], "--certificate MISSING cannot be read: No such file or directory."),
        (["--key", "MISSING"], "--key MISSING cannot be read: No such file or directory."),
        (["--key", "OTHER.key"], "--key OTHER.key is no private key in PEM, or belongs to another certificate than "),
    ],
)
def test_what_keeps_it_from_asking_is_told_by_option_and_file(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True)
    (tmp_path / "OTHER.key").write_bytes(sandbox.agents["crawler"].key_path.read_bytes())
    monkeypatch.chdir(tmp_path)

    done = prober.run(*options)

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_right_identity_is_told_what_keeps_it_from_the_gateway(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True)

    done = prober.run("--ca-file", str(Authority.create(tmp_path / "theirs").bundle_path))

    assert done.exit_code == 2
    assert "does not vouch for its certificate (" in done.stdout
    assert "; what to do: give the authority (PEM) that signed the gateway's certificate as --ca-file" in done.stdout


def test_where_the_right_identity_is_not_taken_no_refusal_counts(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True)
    prober.give(
        "subject-token", sandbox.issuer.token("alice", client_id="copilot", iat=1_700_000_000, exp=1_700_000_900)
    )

    done = prober.run()

    assert done.exit_code == 2
    assert "the right identity is not taken, so that no refusal proves anything: SUBJECT_TOKEN_REJECTED" in done.stdout


def test_somebody_elses_token_is_never_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True)
    before = len(list(events(sandbox.database)))
    token = sandbox.issuer.token("bob", client_id="copilot")
    prober.give("subject-token", token)

    done = prober.run()

    assert done.exit_code == 2
    assert "`sub` is not 'alice', the account for probing that --subject names: not sent" in done.stderr
    assert not any(part in done.output for part in token.split("."))
    assert len(list(events(sandbox.database))) == before


def test_it_goes_on_and_shows_its_metrics_until_it_is_stopped(
    broken: OwnGateway, sandbox: Sandbox, tmp_path: Path
) -> None:
    prober = prober_of(sandbox, tmp_path, with_certificate=True, target=broken.mtls)
    command = [str(BIN / "remit-server"), *prober.command("--every", "10s", "--metrics", "127.0.0.1:0", "--json")]
    with subprocess.Popen(  # noqa: S603 - the command itself
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=plain_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        page = process.stderr.readline().partition("metrics on ")[2].strip()

        told = json.loads(process.stdout.readline())

        with urllib.request.urlopen(page, timeout=30) as answer:  # noqa: S310 - on loopback
            metrics = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
    assert told["alarm"]
    assert 'remit_probe_alarms_total{check="wide_intent"} 1' in metrics
    assert "remit_probe_last_round_timestamp_seconds" in metrics
