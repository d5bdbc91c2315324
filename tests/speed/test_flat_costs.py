"""What an issuance costs does not grow with the grants that are stored, nor a decision with the catalogue: counted."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import regorus  # the engine of the workers; the rules here are our own
from benchmarks.rig.ledgers import fill_with_what_is_over
from sqlalchemy import Connection
from tests.fakes import FakeClock
from tests.ledger_values import COPILOT, an_issuance, grant_id, issued_record, opening, task_id
from tests.policy_bundles import asked

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.rego.builtins import glob_match, lower, regex_match
from remit_server.adapters.rego.checks import ENTRYPOINT

ROOT = Path(__file__).parents[2]
EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
FEW_GRANTS, MANY_GRANTS = 1_000, 100_000 if EXTENDED else 10_000
FEW_ENTITLEMENTS, MANY_ENTITLEMENTS = 10, 100_000 if EXTENDED else 5_000
ROUNDS = 60


class Steps:
    """Counts the steps of SQLite's own machine on a ledger's connections."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, connection: Connection) -> None:
        """Counts on this connection from now on."""
        raw: Any = connection.connection.dbapi_connection
        raw.set_progress_handler(self._step, 1)

    def _step(self) -> int:
        self.count += 1
        return 0


async def steps_of_an_issuance(file: Path, stored: int) -> int:
    """Returns the steps of the second issuance on a ledger that holds so many grants."""
    async with open_ledger(file, FakeClock()) as ledger:
        fill_with_what_is_over(ledger.store.database, stored)
        steps = Steps()
        ledger.store.database.write_now(steps.on)
        ledger.store.database.read_now(steps.on)
        await issue(ledger, 1)
        before = steps.count
        await issue(ledger, 2)
        return steps.count - before


async def issue(ledger: DatabaseLedger, number: int) -> None:
    assert await ledger.remembered(COPILOT.actor_id, f"request-{number}") is None
    assert await ledger.task(task_id(number)) is None
    await ledger.authorize(opening(number))
    await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))


async def test_the_ledger_takes_no_more_steps_for_an_issuance_with_many_times_the_grants(tmp_path: Path) -> None:
    few = await steps_of_an_issuance(tmp_path / "few.db", FEW_GRANTS)
    many = await steps_of_an_issuance(tmp_path / "many.db", MANY_GRANTS)

    assert few > 100
    assert many <= 1.05 * few


def engine_with(bundle: Bundle, entitlements: int) -> Callable[[], str]:
    """Returns a decision of the default policy with a catalogue of so many entitlements, each of a group of its own."""
    data = json.loads(bundle.data_json)
    catalogue = data["remit"]["catalog"]["entitlements"]
    entry = catalogue["entitlements"]["reports-reader"]
    for number in range(entitlements - len(catalogue["entitlements"])):
        catalogue["entitlements"][f"e{number}"] = entry
        catalogue["by_group"][f"g{number}"] = [f"e{number}"]
    engine = regorus.Engine()
    for name, arity, builtin in (("glob.match", 3, glob_match), ("regex.match", 2, regex_match), ("lower", 1, lower)):
        engine.add_extension(name, arity, builtin)
    for path, text in bundle.rules:
        engine.add_policy(path, text)
    engine.add_data_json(json.dumps(data))
    question = asked().text

    def decide() -> str:
        engine.set_input_json(question)
        return str(engine.eval_rule_as_json(ENTRYPOINT))

    return decide


def test_a_decision_costs_no_more_with_many_times_the_entitlements() -> None:
    bundle = read_bundle(ROOT / "policies")
    few, many = engine_with(bundle, FEW_ENTITLEMENTS), engine_with(bundle, MANY_ENTITLEMENTS)
    answer = few()

    least = {few: float("inf"), many: float("inf")}
    for decide in (few, many) * ROUNDS:  # in turns, so that a slow moment is one of both
        begun = time.thread_time()
        assert decide() == answer
        least[decide] = min(least[decide], time.thread_time() - begun)

    # A ratio of two costs on the same machine. What walks the catalogue costs hundreds of times more.
    assert least[many] <= 2 * least[few]
