"""The decision tables, and ten thousand generated questions, on both engines: they answer alike."""

import asyncio
import json
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.fake_opa import PATIENT
from tests.opa_server import opa_server
from tests.policy_bundles import DEFAULT_POLICIES, asked, merged, question
from tests.real_opa import opa_answers

from remit_server.adapters.opa.engine import OpaServer
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle, stamp
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.rego.process import Program, RegoProcess
from remit_server.adapters.rego.wire import ISSUE
from remit_server.adapters.strict_yaml import strict_yaml
from remit_server.application.ports import Policy
from remit_server.domain.decision import Allow, DecisionInput, Deny, canonical_json

CASES: list[dict[str, Any]] = strict_yaml((Path(__file__).parent / "issue_decisions.yaml").read_text("utf-8"))[0]
SOUND, MALFORMED = 3_000, 1_000  # the former three times
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def outcome(engine: Policy, text: DecisionInput) -> dict[str, list[str]] | str:
    """Returns what an engine decides, in short, or that it was an outage."""
    try:
        decision = await engine.decide(engine.active, text)
    except PolicyUnavailable:
        return "outage"
    match decision:
        case Allow(entitlements):
            return {"allow": [entitlement.entitlement_id for entitlement in entitlements]}
        case Deny(reasons):
            return {"deny": [reason.code for reason in reasons]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Policy]]:
    """The default policy on each engine."""
    bundle = read_bundle(DEFAULT_POLICIES)
    async with AsyncExitStack() as stack:
        opa = stack.enter_context(opa_server(tmp_path_factory.mktemp("opa")))
        server = await OpaServer.start(bundle, opa.settings(), PATIENT)
        stack.push_async_callback(server.close)
        embedded = await EmbeddedRego.start(bundle, EngineLimits(decision_seconds=30.0, wait_seconds=30.0))
        stack.push_async_callback(embedded.close)
        yield {"embedded": embedded, "opa": server}


@pytest.mark.parametrize("engine", ["embedded", "opa"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_the_decision_table_holds_on_each_engine(
    engines: dict[str, Policy], engine: str, case: dict[str, Any]
) -> None:
    decided = await outcome(engines[engine], asked(case["ask"]))

    assert decided == {key: case[key] for key in ("allow", "deny") if key in case}


# --- Generated questions, on a catalogue that uses everything a catalogue may hold ---

AGENTS = "spiffe://remit.sandbox/agent"
LOGIN = "https://login.sandbox.test"
HOURS = {"days": ["Monday", "Tuesday", "Sunday"], "from": "08:00", "to": "18:30", "time_zone": "Europe/Berlin"}
NIGHT = {"days": ["Saturday"], "from": "00:30", "to": "23:59", "time_zone": "America/New_York"}
REPORTS, DATA = (f"arn:aws:iam::111122223333:role/remit-{name}" for name in ("reports", "data"))
GROUPS = ["analysts", "engineers", "security", "contractors", "", "ANALYSTS", "*", "größen", "a/b", "leads"]
ACTORS = ["copilot", "another", "copilot/child", "", "*", "cop:ilot", "é", "co", "copilots", "[a]", "{copilot,x}"]
MOMENTS = ["2026-11-23T09:00:00Z", "2026-11-22T17:29:59Z", "2026-11-22T17:30:00Z", "2026-11-28T04:30:00Z"]
MOMENTS += ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00+02:00", "2026-10-25T02:30:00Z", "2024-02-29T23:59:59Z"]
ACTIONS = ["s3:GetObject", "s3:*", "S3:Delete*", "*", "dynamodb:DeleteItem", "iam:PassRole", "s3:?elete*", "K:\u017f"]
RESOURCES = ["*", "arn:aws:s3:::production/*", "arn:aws:s3:::pro*", "arn:aws:s3:::reports/*", "arn:aws:s3:::${x}", "?"]


def entry(role: str, actors: list[str], **more: Any) -> dict[str, Any]:
    """Returns an entitlement of the catalogue."""
    allowed = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}
    usual = {"description": "One", "permissions": [allowed], "max_credential_seconds": 900, "max_task_seconds": 3600}
    return {**usual, "role_arn": role, "actors": actors, **more}


REVIEWERS = {"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600}
ENTITLEMENTS = {
    "any-agent": entry(REPORTS, [f"{AGENTS}/*"]),
    "one-agent": entry(DATA, [f"{AGENTS}/copilot"], kind="break_glass", approval=REVIEWERS),
    "a-choice": entry(REPORTS, [f"{AGENTS}/{{copilot,another}}", f"{AGENTS}/[c]o"]),
    "by-token": entry(REPORTS, ["sandbox:*"], issuers=[LOGIN, "https://elsewhere.test"]),
    "of-an-issuer": entry(DATA, [f"{AGENTS}/*"], issuers=["https://elsewhere.test"]),
    "for-a-team": entry(REPORTS, [f"{AGENTS}/*"], task_labels={"team": "blue"}),
    "for-two-labels": entry(DATA, ["*:*", f"{AGENTS}/**"], task_labels={"team": "blue", "stage": "dev"}),
    "by-day": entry(REPORTS, [f"{AGENTS}/*"], hours=HOURS),
    "by-night": entry(DATA, [f"{AGENTS}/c*"], hours=NIGHT, offline_renewal=True),
    "with-a-yes": entry(
        DATA,
        [f"{AGENTS}/?opilot"],
        approval={"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600},
        bind={"source_cidrs": ["192.0.2.0/24"]},
    ),
}
BY_GROUP = {
    "analysts": ["any-agent", "by-token", "for-a-team", "by-day"],
    "engineers": ["one-agent", "of-an-issuer", "for-two-labels", "a-choice"],
    "security": ["by-night", "with-a-yes"],
    "größen": ["by-day", "by-night"],
    "leads": sorted(ENTITLEMENTS),
}


@dataclass
class Rich:
    """The default rules with a catalogue that uses everything, on a disk."""

    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Rich:
    folder = shutil.copytree(DEFAULT_POLICIES, tmp_path_factory.mktemp("rich") / "policies")
    catalogue = folder / "remit/catalog/entitlements"
    (catalogue / "data.yaml").unlink()
    whole = {"roles": [DATA, REPORTS], "by_group": BY_GROUP, "entitlements": ENTITLEMENTS}
    (catalogue / "data.json").write_text(json.dumps(whole), encoding="utf-8")
    stamp(folder)
    return Rich(folder, read_bundle(folder))


def sound(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yields questions of the right shape, the same at every run."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    for _ in range(count):
        agent = f"{AGENTS}/{chance.choice(ACTORS)}"
        labels = {name: chance.choice(["blue", "red", "dev"]) for name in ("team", "stage") if chance.random() < 0.5}
        yield question(
            {
                "subject": {
                    "groups": chance.sample(GROUPS, chance.randint(0, 4)),
                    "issuer": chance.choice([LOGIN, LOGIN, "https://elsewhere.test", ""]),
                },
                "actor": {"id": chance.choice([agent, agent, agent, "sandbox:reporter", "a:b", "\u212a:"])},
                "parent_task": chance.choice([None] * 6 + [handed_on(chance)]),
                "task": {"labels": labels, "grants_so_far": chance.randint(0, 3)},
                "intent": {"permissions": [permission(chance) for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))]},
                "context": {"time": chance.choice(MOMENTS), "renewal": chance.random() < 0.2},
            }
        )


def handed_on(chance: random.Random) -> dict[str, Any]:
    """Returns a task above."""
    return {
        "id": "t",
        "actor": f"{AGENTS}/{chance.choice(ACTORS)}",
        "depth": chance.randint(0, 2),
        "entitlements": chance.sample(["reports-reader", "orders-reader", "reader"], chance.randint(0, 3)),
    }


def permission(chance: random.Random) -> dict[str, Any]:
    """Returns one permission of an intent: every other one is harmless."""
    return {
        "actions": chance.choice([["s3:GetObject"], chance.sample(ACTIONS, chance.randint(1, 3))]),
        "resources": chance.sample(RESOURCES, chance.randint(1, 2)),
        "conditions": [],
    }


def malformed(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yields questions with one or two places of the wrong type, or gone: the gateway sends none such."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    for one in sound(count, seed):
        spoiled: Any = merged(one, {})
        for _ in range(chance.randint(1, 2)):
            parent, key = chance.choice(list(places(spoiled)))
            wrong = chance.choice([None, True, False, 0, -1.5, "", "x", [], [1], {}, {"x": 1}, "GONE", "GONE"])
            if key in parent if isinstance(parent, dict) else key < len(parent):
                parent[key] = wrong
                if wrong == "GONE":
                    del parent[key]
        yield spoiled


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every place in a value: what holds it, and its key there."""
    steps = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in steps:
        yield value, key
        yield from places(inner)


@pytest.mark.parametrize("seed", [20261123, 20261124, 20261125])
async def test_sound_questions_are_answered_alike_to_the_last_value(rich: Rich, seed: int) -> None:
    inputs = list(sound(SOUND, seed))
    halves = await asyncio.gather(*(by_the_embedded_engine(rich, inputs[half::2]) for half in range(2)))
    embedded = [answer for pair in zip(*halves, strict=True) for answer in pair]

    real = opa_answers(
        "data.remit.issue.decision with input as c", inputs, "--strict-builtin-errors", "--bundle", str(rich.folder)
    )

    assert [place for place, (one, other) in enumerate(zip(embedded, real, strict=True)) if one != other] == []
    verdicts = Counter(answer["allow"] for answer in real)
    assert min(verdicts[True], verdicts[False]) > SOUND / 10  # neither is a rarity


async def by_the_embedded_engine(rich: Rich, inputs: Sequence[dict[str, Any]]) -> list[Any]:
    """Returns the embedded engine's bare answers, from a worker of its own."""
    worker = await RegoProcess.start(Program(rich.bundle.rules, rich.bundle.data_json, 512 << 20, 60.0))
    try:
        return [json.loads(await worker.ask(ISSUE, canonical_json(one), seconds=30.0) or "null") for one in inputs]
    finally:
        await worker.close()


async def test_malformed_questions_end_alike_or_in_an_outage_of_the_stricter_engine(
    rich: Rich, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inputs = [DecisionInput(canonical_json(one)) for one in malformed(MALFORMED, 42)]
    async with AsyncExitStack() as stack:
        opa = stack.enter_context(opa_server(tmp_path_factory.mktemp("opa")))
        server = await OpaServer.start(rich.bundle, opa.settings(), PATIENT)
        stack.push_async_callback(server.close)
        embedded = await EmbeddedRego.start(rich.bundle, EngineLimits(decision_seconds=30.0, wait_seconds=30.0))
        stack.push_async_callback(embedded.close)

        found = [(await outcome(embedded, one), await outcome(server, one), one.text) for one in inputs]

    # docs/policy-engines.md: the embedded engine ends where OPA goes on with undefined, never the other way round.
    assert [(one, other, text) for one, other, text in found if one not in (other, "outage")] == []
    kinds = Counter(other if isinstance(other, str) else next(iter(other)) for _, other, _ in found)
    assert min(kinds["allow"], kinds["deny"], kinds["outage"]) > MALFORMED / 50
    assert sum(one == other for one, other, _ in found) > 0.8 * MALFORMED
