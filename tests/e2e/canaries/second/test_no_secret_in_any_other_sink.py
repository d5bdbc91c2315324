"""No token and no key comes out of a gateway with every other part either (8-threats.md G8, I5).

PostgreSQL with a password and a log of every statement, OPA at debug with tokens, a bundle server, an issuer of its
own, a transmitter and a directory that are polled, checkpoints, a secret address of a webhook.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest
from tests.e2e.canaries import agents, faults, people
from tests.e2e.canaries.journey import (
    EXTENDED,
    Journey,
    Kept,
    everything_logged,
    gone_through,
    loud_gateway,
    note_answers,
)
from tests.e2e.canaries.second import paths
from tests.e2e.canaries.second.sinks import SECOND_SINKS
from tests.e2e.canaries.second.world import SecondJourney, parts_beside, second_gateway
from tests.e2e.canaries.sinks import SILENT, kinds_not_found
from tests.e2e.canaries.table.kinds import KINDS, is_due
from tests.e2e.gateways import client
from tests.e2e.machines import machine
from tests.real_postgresql import PostgresqlServer

from remit_sandbox.sandbox import Sandbox

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUIET: Final = SILENT if EXTENDED else SILENT | {"what client and commands log at DEBUG"}
# What takes long, or is the same code as at the first gateway: in the extended tests only.
LONG: Final = (
    agents.renewed,
    agents.attenuated,
    agents.handed_on,
    agents.refused,
    agents.misplaced,
    agents.hung_up,
    people.called,
    people.watched,
    people.approved,
    paths.heard,
    paths.read,
    faults.of_sts,
    paths.of_the_bundle_server,
    paths.of_opa,
    paths.of_the_database,
)
PATHS: Final = (
    paths.issued,
    paths.told,
    paths.figured,
    agents.rejected,
    agents.failed_inside,
    *(LONG if EXTENDED else ()),
    faults.of_the_gateway,
)


@pytest.fixture(scope="module")
def journey(
    sandbox: Sandbox, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecondJourney]:
    """Everything gone through; the gateway was aborted at last."""
    folder, home, kept = tmp_path_factory.mktemp("second"), tmp_path_factory.mktemp("machine"), Kept()
    with ExitStack() as stack:
        stack.enter_context(everything_logged(kept))
        parts = stack.enter_context(parts_beside(sandbox, folder, postgresql))
        own, relay = stack.enter_context(second_gateway(parts, loud_gateway(folder)))
        gateway = stack.enter_context(client(sandbox, own.mtls))
        made = SecondJourney(
            sandbox,
            own,
            relay,
            machine(sandbox, home, "", target=own.mtls),
            parts.canaries,
            logged=kept,
            server=parts.server,
            database=parts.database,
            opa=parts.opa,
            bundles=parts.bundles,
            others=parts.others,
            signals=parts.signals,
            metrics=parts.metrics,
        )
        made.knows()
        for path in PATHS:
            gone_through(made, gateway, path)
        note_answers(made)
        for request in parts.at_aws.sts.requests:
            made.secret(request.form["WebIdentityToken"], "a token of the gateway's own issuer")
        made.collected = {name: sink.texts(made) for name, sink in SECOND_SINKS.items()}
        yield made


def test_the_table_says_which_kinds_of_secrets_there_were(journey: Journey) -> None:
    assert journey.canaries.kinds == {kind.name for kind in KINDS if is_due(kind.second, is_extended=EXTENDED)}


def test_every_path_was_gone_through_without_a_surprise(journey: Journey) -> None:
    assert journey.failed == [], journey.ended


@pytest.mark.parametrize("sink", SECOND_SINKS)
def test_no_secret_is_in(sink: str, journey: Journey) -> None:
    texts = journey.collected[sink]

    assert any(texts.values()) or sink in QUIET
    assert journey.canaries.found_in(texts) == []


@pytest.mark.parametrize("sink", SECOND_SINKS)
def test_a_leak_of_any_kind_of_secret_would_be_found_in(sink: str, journey: Journey) -> None:
    assert kinds_not_found(journey, SECOND_SINKS[sink]) == set()
