"""What is gone through with the other gateway, beside the paths of the first that need nothing of its own."""

import time
import urllib.error
import urllib.request
from contextlib import suppress
from functools import partial

from tests.e2e.canaries.agents import AN_ANSWER, EVERYTHING
from tests.e2e.canaries.journey import CANARY, Journey
from tests.e2e.canaries.second.repeating import repeating
from tests.e2e.canaries.second.world import FOR_FIGURES, ROLE, SecondJourney
from tests.e2e.gateways import Q3, raw_stub
from tests.e2e.test_approvals import publishing

import remit
from remit.v1 import credential_service_pb2 as messages

_PATIENCE = 60.0


def second(journey: Journey) -> SecondJourney:
    """Returns the journey as what it is."""
    assert isinstance(journey, SecondJourney)
    return journey


def issued(journey: Journey, gateway: remit.Gateway) -> None:
    """Credentials are issued by a token of the gateway's own issuer, renewed, and refused, and the trail is read."""
    block = gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3)
    with block as task, raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        journey.holds(task.credentials())
        journey.shows(gateway, task, task.grant, task.credentials())
        ask = messages.RenewCredentialsRequest(name=task.grant.name, subject_token=journey.token())
        journey.holds(stub.RenewCredentials(ask, timeout=AN_ANSWER).credentials)
        journey.fails(gateway.task("x", subject_token=journey.token(), allow=EVERYTHING).__enter__)
        journey.fails(gateway.task("x", subject_token=journey.tampered(), allow=Q3).__enter__)
    journey.remit_server("audit", "list", "--json", *second(journey).ledger)


def told(journey: Journey, _: remit.Gateway) -> None:
    """A channel is told, and the place of the checkpoints: both refuse at first, and repeat what they were shown."""
    others = second(journey).others
    with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        for number in (1, 2):
            request = publishing(journey.token(), change=f"ABC-{number}")
            journey.shows(stub.IssueCredentials(request, timeout=AN_ANSWER).approval)
            assert others.was_asked("chat", number)
    assert others.was_asked("checkpoints", 2)
    journey.told += others.told


def figured(journey: Journey, _: remit.Gateway) -> None:
    """The page of figures is asked for with its token, with others, and with none."""
    journey, trust = second(journey), journey.sandbox.authority.trust()
    right = journey.canaries.of_kind(FOR_FIGURES)
    for path in ("/metrics", f"/{right}"):
        for token in (right, journey.secret(CANARY, "a canary"), journey.token(), ""):
            request = urllib.request.Request(f"https://{journey.metrics}{path}")
            request.add_header("Authorization", f"Bearer {token}")
            try:
                with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310 - the same
                    journey.told.append(f"{answer.headers} {answer.read().decode()}")
            except urllib.error.HTTPError as error:
                journey.told.append(f"{error.headers} {error.read().decode()}")
    assert any("remit_calls_total" in text for text in journey.told)


def heard(journey: Journey, gateway: remit.Gateway) -> None:
    """A transmitter and a directory are asked about users: they refuse at first, and repeat what they were shown."""
    journey, polls = second(journey), len(second(journey).signals.calls)
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        journey.holds(task.credentials())
        assert journey.others.was_asked("users", 2)
    until = time.monotonic() + _PATIENCE
    while len(journey.signals.calls) < polls + 1:
        assert time.monotonic() < until, "the transmitter is not asked"
        time.sleep(0.05)


def of_the_bundle_server(journey: Journey, _: remit.Gateway) -> None:
    """The bundle server refuses, and repeats what it was shown."""
    web = second(journey).bundles
    web.repeats, before = True, len(web.asked)  # type: ignore[attr-defined]  # it is `RepeatingBundles`
    until = time.monotonic() + _PATIENCE
    while len(web.asked) < before + 2:
        assert time.monotonic() < until, "the bundle server is not asked"
        time.sleep(0.05)
    web.repeats = False  # type: ignore[attr-defined]


def of_opa(journey: Journey, gateway: remit.Gateway) -> None:
    """OPA is gone; in its place something repeats what it is shown; then it is there again."""
    opa = second(journey).opa
    opa.kill()
    preview = partial(gateway.preview, "look", subject_token=journey.token(), allow=Q3)
    journey.fails(preview)
    with repeating(port=int(opa.address.rpartition(":")[2])) as instead:
        instead.never_well = True
        until = time.monotonic() + _PATIENCE
        while not instead.told:
            assert time.monotonic() < until, "OPA is not asked"
            journey.fails(preview)
    opa.start()
    _until_it_goes(journey, gateway)


def of_the_database(journey: Journey, gateway: remit.Gateway) -> None:
    """The database ends every session and takes another password; then the right one again."""
    journey = second(journey)
    password = journey.canaries.of_kind("a database's password")
    server, end = journey.server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'"
    server.asked(f"ALTER ROLE {ROLE} PASSWORD 'another'")
    server.asked(end.format(ROLE))
    journey.fails(gateway.task("x", subject_token=journey.token(), allow=Q3).__enter__)
    journey.remit_server("audit", "list", *journey.ledger)
    server.asked(f"ALTER ROLE {ROLE} PASSWORD '{password}'")
    _until_it_goes(journey, gateway)


def _until_it_goes(journey: Journey, gateway: remit.Gateway) -> None:
    """Asks until credentials are issued again."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with suppress(remit.Unavailable), gateway.task("x", subject_token=journey.token(), allow=Q3) as task:
            journey.holds(task.credentials())
            return
        time.sleep(0.05)
    raise AssertionError("it does not go any more")


def read(journey: Journey, _: remit.Gateway) -> None:
    """The audit trail is read, tables are migrated, the configuration is checked: with each secret, and wrong ones."""
    journey = second(journey)
    password = journey.canaries.of_kind("a database's password")
    wrong = journey.own.log_path.parent / "secrets" / "another-password"
    wrong.write_text(journey.secret(f"{password[::-1]}", "a database's password"))
    url = journey.ledger[1]
    written_in = url.replace(f"{ROLE}@", f"{ROLE}:{password}@")
    for ledger in (
        journey.ledger,
        (*journey.ledger[:3], str(wrong)),
        ("--database", written_in),
        ("--database", f"{url}&password={password}"),
    ):
        journey.remit_server("audit", "list", *ledger)
        journey.remit_server("audit", "verify", *ledger)
        journey.remit_server("database", "migrate", *ledger)
    for command in (("config", "check"), ("issuer", "keys"), ("issuer", "export")):
        journey.remit_server(*command, "--config", str(journey.own.log_path.with_name("remit.toml")))
    _checked(journey, f"{ROLE}@", f"{ROLE}:{password}@")
    broken = wrong.with_name("broken")
    broken.write_text(f"{password}\n{journey.secret(CANARY, 'a canary')}")
    broken.chmod(0o600)
    for file in [*wrong.parent.glob("*"), *wrong.parent.parent.glob("*.pem"), *wrong.parent.parent.glob("keys/*.pem")]:
        _checked(journey, f'"{file}"', f'"{broken}"')


def _checked(journey: SecondJourney, before: str, after: str) -> None:
    """Has the configuration be checked with something else in it, which is wrong."""
    config = journey.own.log_path.with_name("remit.toml")
    text = config.read_text()
    if before not in text:
        return
    other = config.with_name("wrong.toml")
    other.write_text(text.replace(before, after))
    other.chmod(0o600)
    journey.remit_server("config", "check", "--config", str(other))
    other.unlink()
