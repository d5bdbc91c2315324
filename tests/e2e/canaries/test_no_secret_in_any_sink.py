"""No token and no key is found anywhere but where it was handed over (8-threats.md G8, I5).

One gateway with every logger at DEBUG is taken through everything that can be done with it, by agents, by people, by
programs and by faults; then every sink is searched for every secret that was used, as it is and encoded.
"""

import base64
import json
import pprint
import secrets
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import typer
from tests.e2e.canaries import agents, faults, people, programs, signed
from tests.e2e.canaries.journey import (
    EXTENDED,
    Journey,
    Kept,
    everything_logged,
    gone_through,
    loud_gateway,
    note_answers,
)
from tests.e2e.canaries.loudly.loud import CALLED
from tests.e2e.canaries.sinks import SILENT, SINKS, kinds_not_found
from tests.e2e.canaries.table.kinds import KINDS, is_due
from tests.e2e.canaries.traces import Canaries, private_part, put_secret
from tests.e2e.gateways import client, own_gateway
from tests.e2e.machines import machine
from tests.e2e.sts_relay import sts_relay
from tests.e2e.test_approvals import receiving
from tests.e2e.test_disabled_user import transmitter_in_background
from tests.event_world import RECEIVER
from tests.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.scraping import scraped

from remit.cli.commands import app as remit_app
from remit.v1 import (
    approval_service_pb2,
    audit_service_pb2,
    credential_service_pb2,
    grant_service_pb2,
    policy_service_pb2,
)
from remit_sandbox.sandbox import Sandbox
from remit_server.cli.main import app as server_app

pytestmark = [
    pytest.mark.timeout(900),
    # Commands are run in this process, and leave what a process closes at its end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# What takes long, because every step of it is a process of its own or examines a bundle: in the extended tests only.
LONG: Final = (
    people.kept_policies,
    people.set_up,
    programs.commands,
    programs.copilots,
    signed.signed_in,
    signed.contained,
    signed.copilots_over_http,
    signed.confirmed,
)
PATHS: Final = (
    agents.issued_and_used,
    agents.renewed,
    agents.attenuated,
    agents.handed_on,
    agents.refused,
    agents.rejected,
    agents.misplaced,
    agents.failed_inside,
    agents.hung_up,
    agents.in_frameworks,
    agents.not_reached,
    people.called,
    people.watched,
    people.approved,
    people.oversaw,
    *(LONG if EXTENDED else ()),
    faults.of_sts,
    faults.of_the_ledger,
    faults.of_the_policy,
    faults.over_http,
    faults.of_the_gateway,  # the last one: it is gone then
)
# Commands that no path runs, each with the reason: what secrets could it show?
EXCUSED: Final = {
    "remit-server serve": "it is what all paths call",
    "remit-server database migrate": "reads a database's address, in which a password is refused",
    "remit-server events verify": "waits for an event to come; speaks to the transmitter as `configure` does",
    "remit-server audit watch": "prints records as they are, as `audit export` does",
    "remit-server grants watch": "prints grants, as `grants list` does",
    "remit-server approvals watch": "prints approvals, as `approvals list` does",
    **{
        f"remit-server policy {name}": "reads a bundle of policies, and neither a token nor a key"
        for name in ("build", "check", "diff", "mutate", "schemas", "stamp", "test")
    },
}
REASONS: Final = {
    "ACTOR_REJECTED",
    "CEILING_EXCEEDED",
    "INTENT_TOO_LARGE",
    "INTERNAL",
    "INVALID_REQUEST",
    "LEDGER_UNAVAILABLE",
    "NEVER_ISSUABLE",
    "NOT_AUTHORIZED",
    "NOT_FOUND",
    "POLICY_DENIED",
    "STS_UNAVAILABLE",
    "SUBJECT_TOKEN_REJECTED",
    "TOKEN_NOT_BOUND",
    "UNAVAILABLE",
}


def looked_on(folder: Path, canaries: Canaries, collector: OtlpReceiver) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns what has this gateway tell figures and traces, and what a scraper shows."""
    scraper = put_secret(folder, canaries, "a scraper's token")
    traces = put_secret(folder, canaries, "a collector's token")
    more = {
        "listen.metrics": {"address": "127.0.0.1:0", "token_file": scraper},
        "tracing": {"endpoint": collector.url, "token_file": traces, "share": 1.0, "callers": "parent"},
    }
    shown = canaries.of_kind("a scraper's token")
    return more, {"Authorization": f"Bearer {shown}"}


def extra(sandbox: Sandbox, folder: Path, canaries: Canaries, transmitter: Any, receiver: Any) -> dict[str, Any]:
    """Returns what this gateway has besides the sandbox's: pages, pushed events, webhooks, each with a secret."""
    pair = sandbox.authority.issue_server(("127.0.0.1",))
    written = partial(put_secret, folder, canaries)
    files = {"certificate_file": str(pair.certificate_path), "key_file": str(pair.key_path)}
    canaries.note(private_part(pair.key_path.read_text()), "a server's key")
    return {
        "listen.http": {"address": "127.0.0.1:0", **files},
        "[transmitters]": {
            "alias": "acme",
            "issuer": transmitter.issuer,
            "audience": RECEIVER,
            "algorithms": ["RS256"],
            "users_of": "sandbox",
            "ca_file": str(sandbox.authority.bundle_path),
            "authorization_files": [written("a transmitter's authorization")],
        },
        "[webhooks]": {"name": "hr", "secret_files": [written("a sender's secret")], "users_of": ["sandbox"]},
        "[notifications]": {
            "name": "approvers",
            "url": f"https://127.0.0.1:{receiver.port}/told",
            "secret_file": written("a webhook's secret"),
            "ca_file": str(receiver.authority.bundle_path),
        },
        "[roles]": {"external_id_file": written("an external id")},
    }


@pytest.fixture(scope="module")
def journey(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Everything gone through; the gateway was aborted at last, so that its write-ahead log is there."""
    folder, home = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("machine")
    canaries, kept = Canaries(), Kept()
    started = loud_gateway(folder)
    with ExitStack() as stack:
        stack.enter_context(everything_logged(kept))
        transmitter, loop = stack.enter_context(transmitter_in_background(sandbox))
        receiver = stack.enter_context(receiving(home))
        receiver.checks = False
        relay = stack.enter_context(sts_relay(sandbox.aws.endpoint_url))
        collector = stack.enter_context(otlp_receiver())
        watching, shown = looked_on(folder, canaries, collector)
        more = {**extra(sandbox, folder, canaries, transmitter, receiver), **watching}
        values = {"endpoint_url": relay.url}
        own = stack.enter_context(own_gateway(sandbox, folder, values, more, started=started))
        gateway = stack.enter_context(client(sandbox, own.mtls))
        mine = machine(sandbox, home, "", target=own.mtls)
        made = Journey(sandbox, own, relay, mine, canaries, logged=kept, transmitter=(transmitter, loop))
        made.knows()
        for path in PATHS:
            made.pages.append(scraped(own.metrics, headers=shown).text)
            gone_through(made, gateway, path)
        made.traces = collector.bodies
        made.told += [f"{headers} {body.decode()}" for headers, body in receiver.taken]
        note_answers(made)
        made.collected = {name: sink.texts(made) for name, sink in SINKS.items()}
        yield made


@pytest.mark.parametrize("sink", SINKS)
def test_no_secret_is_in(sink: str, journey: Journey) -> None:
    texts = journey.collected[sink]

    assert any(texts.values()) or sink in SILENT
    assert journey.canaries.found_in(texts) == []


@pytest.mark.parametrize("sink", SINKS)
def test_a_leak_of_any_kind_of_secret_would_be_found_in(sink: str, journey: Journey) -> None:
    assert kinds_not_found(journey, SINKS[sink]) == set()


FORMS: Final[dict[str, Callable[[str], bytes]]] = {
    "as it is": str.encode,
    "its first two thirds": lambda text: text[: len(text) * 2 // 3].encode(),
    "its last two thirds": lambda text: text[len(text) // 3 :].encode(),
    "within a text": lambda text: f"x{text}y".encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 behind something": lambda text: base64.b64encode(b"xy" + text.encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"x" + text.encode()),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "for a URL": lambda text: quote(text, safe="").encode(),
    "wrapped at 60 characters": lambda text: "\n".join(textwrap.wrap(text, 60)).encode(),
    "as Python wraps it": lambda text: pprint.pformat({"a": f"{text} {text}"}, width=60).encode(),
    "as JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})).encode(),
    "wrapped, and then as JSON": lambda text: json.dumps("\n".join(textwrap.wrap(text, 60))).encode(),
    "for a URL in base64": lambda text: base64.b64encode(quote(text, safe="").encode()),
    "behind a name in base64, as for HTTP Basic": lambda text: base64.b64encode(f"copilot:{text}".encode()),
    "with two bytes a letter": lambda text: text.encode("utf-16"),
    "as Python shows bytes": lambda text: repr({"a": text.encode()}).encode(),
    "backwards": lambda text: text[::-1].encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form_that_it_may_leak_in(form: str) -> None:
    made = {
        "a token": ".".join(secrets.token_urlsafe(size) for size in (40, 300, 256)),
        "a key": base64.b64encode(secrets.token_bytes(30)).decode(),
        "a session token": base64.b64encode(secrets.token_bytes(400)).decode() + "//+==",
    }
    canaries = Canaries({value: kind for kind, value in made.items()})

    for kind, value in made.items():
        assert [kind in one for one in canaries.found_in({"text": FORMS[form](value)})] != [], kind
    assert canaries.found_in({"text": base64.b64encode(secrets.token_bytes(5000))}) == []


def methods() -> set[str]:
    """Returns every method of every service of the API."""
    files = (approval_service_pb2, audit_service_pb2, credential_service_pb2, grant_service_pb2, policy_service_pb2)
    return {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def commands(command: Any, *names: str) -> Iterator[str]:
    """Yields every command of a command line."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names)
        return
    for name, one in below.items():
        yield from commands(one, *names, name)


def test_the_table_says_which_kinds_of_secrets_there_were(journey: Journey) -> None:
    assert journey.canaries.kinds == {kind.name for kind in KINDS if is_due(kind.first, is_extended=EXTENDED)}


def test_every_path_was_gone_through_without_a_surprise(journey: Journey) -> None:
    assert journey.failed == [], journey.ended


def test_every_method_of_the_api_was_called(journey: Journey) -> None:
    log = journey.own.log_path.read_text()

    assert {method for method in methods() if f"{CALLED} {method}" not in log} == set()


def test_every_command_was_run_or_says_why_not(journey: Journey) -> None:
    known = {*commands(typer.main.get_command(server_app), "remit-server")}
    known |= {*commands(typer.main.get_command(remit_app), "remit"), "remit-mcp"}

    run = journey.commands if EXTENDED else journey.commands | people.RUNS | programs.RUNS
    assert known - run == set(EXCUSED)


def test_every_kind_of_no_was_heard(journey: Journey) -> None:
    assert REASONS - journey.reasons == set()
