"""The decision on the security side: its table on both engines, what counts as an answer, what a bundle must say."""

import copy
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.fake_opa import PATIENT, fake_opa, settings_for
from tests.fakes import NOON
from tests.opa_server import opa_server
from tests.policy.test_default_policy import schema
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, bundle_of, merged

from remit_server.adapters.opa.engine import OpaServer
from remit_server.adapters.policy.answers.admin_decision import admin_decision_of
from remit_server.adapters.policy.answers.decision import MAX_CHARACTERS, PolicyUnavailable
from remit_server.adapters.policy.answers.stranger import STRANGE_OPERATOR
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.strict_yaml import strict_yaml
from remit_server.application.oversight.ports import AdminPolicy
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminAllow, AdminDeny, Scope, Visible, admin_input
from remit_server.domain.decision import DecisionInput, canonical_json
from remit_server.domain.operator import Operator, OperatorKind
from remit_server.domain.revocation import Target, TargetKind

CASES: list[dict[str, Any]] = strict_yaml((Path(__file__).parent / "admin_decisions.yaml").read_text("utf-8"))[0]
EMBEDDED = EngineLimits(decision_seconds=30.0, wait_seconds=30.0)
REASON = {"code": "no", "message": "Not you.", "remedy": "GIVE_UP"}
YES: dict[str, Any] = {"allow": True, "reasons": [], "visible": "all"}
NO: dict[str, Any] = {"allow": False, "reasons": [REASON], "visible": None}
SCOPED = YES | {"visible": ["own", {"accounts": ["111122223333"], "actors": ["sandbox:reporter"]}]}
on_module_loop = pytest.mark.asyncio(loop_scope="module")


def question(changes: dict[str, Any] | None = None) -> DecisionInput:
    """Returns olga's question whether she may revoke by a revision, with parts of it replaced."""
    return DecisionInput(canonical_json(merged(json.loads(olgas().text), changes or {})))


def olgas() -> DecisionInput:
    olga = Operator(
        "https://login.sandbox.test", "sandbox", "olga", OperatorKind.PERSON, "192.0.2.7", groups=("security",)
    )
    target = Target(TargetKind.REVISION, "0" * 64)
    return admin_input(olga, "GrantService.RevokeGrants", target=target, block=False, now=NOON)


async def told(engine: AdminPolicy, asked: DecisionInput) -> dict[str, Any]:
    match await engine.administer(engine.active, asked):
        case AdminAllow(Visible(everything=True)):
            return {"visible": "all"}
        case AdminAllow(visible):
            return {"visible": [*(["own"] if visible.own else []), *visible.scopes]}
        case AdminDeny(reasons):
            return {"deny": [reason.code for reason in reasons]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, AdminPolicy]]:
    """The default policy on each engine."""
    bundle = read_bundle(DEFAULT_POLICIES)
    async with AsyncExitStack() as stack:
        opa = stack.enter_context(opa_server(tmp_path_factory.mktemp("opa")))
        server = await OpaServer.start(bundle, opa.settings(), PATIENT)
        stack.push_async_callback(server.close)
        embedded = await EmbeddedRego.start(bundle, EMBEDDED)
        stack.push_async_callback(embedded.close)
        yield {"embedded": embedded, "opa": server}


@pytest.mark.parametrize("engine", ["embedded", "opa"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@on_module_loop
async def test_the_table_holds_on_each_engine(
    engines: dict[str, AdminPolicy], engine: str, case: dict[str, Any]
) -> None:
    answer = await told(engines[engine], question(case["ask"]))

    assert answer == {key: case[key] for key in ("visible", "deny") if key in case}


@pytest.mark.parametrize("engine", ["embedded", "opa"])
@on_module_loop
async def test_another_revision_is_an_outage(engines: dict[str, AdminPolicy], engine: str) -> None:
    with pytest.raises(PolicyUnavailable):
        await engines[engine].administer(Revision("0" * 64, {}), olgas())


@on_module_loop
async def test_generated_questions_get_the_same_answer_of_both(engines: dict[str, AdminPolicy]) -> None:
    chance = random.Random(8)  # noqa: S311 - not for secrets
    groups = ["security", "staff", "analysts", "", "*", "SECURITY", "größen"]
    rpcs = ["GrantService.RevokeGrants", "GrantService.ListGrants", "AuditService.VerifyChain", "", "*", "x"]
    for _ in range(300):
        caller = {
            "groups": chance.sample(groups, chance.randint(0, 3)),
            "kind": chance.choice(["person", "workload", "", "agent"]),
            "issuer": chance.choice(["https://login.sandbox.test", "", "https://elsewhere.test"]),
        }
        asked = question({"caller": caller, "rpc": chance.choice(rpcs)})

        answers = [await told(engine, asked) for engine in engines.values()]

        assert answers[0] == answers[1], asked.text


def test_what_the_gateway_asks_fits_its_schema() -> None:
    for asked in (olgas(), STRANGE_OPERATOR, question({"target": None})):
        assert list(schema("admin-input.json").iter_errors(json.loads(asked.text))) == []


MALFORMED = {
    "empty": "",
    "null": "null",
    "true": "true",
    "one": "1",
    "a string": '"all"',
    "a list": "[]",
    "an empty object": "{}",
    "only allow": '{"allow": true}',
    "the decision on credentials": json.dumps({"allow": True, "reasons": [], "entitlements": []}),
    "allow as text": json.dumps(YES | {"allow": "true"}),
    "allow as a number": json.dumps(YES | {"allow": 1}),
    "allow as null": json.dumps(YES | {"allow": None}),
    "an unknown key": json.dumps(YES | {"because": "why not"}),
    "a yes that shows nothing": json.dumps(YES | {"visible": None}),
    "a yes with an empty list": json.dumps(YES | {"visible": []}),
    "a yes without what is visible": json.dumps({"allow": True, "reasons": []}),
    "a yes with a reason against it": json.dumps(YES | {"reasons": [REASON]}),
    "a no without a reason": json.dumps(NO | {"reasons": []}),
    "a no that shows everything": json.dumps(NO | {"visible": "all"}),
    "a no that shows own": json.dumps(NO | {"visible": "own"}),
    "visible in another case": json.dumps(YES | {"visible": "ALL"}),
    "visible as true": json.dumps(YES | {"visible": True}),
    "visible as a star": json.dumps(YES | {"visible": "*"}),
    "all within a list": json.dumps(YES | {"visible": ["all"]}),
    "one scope without a list": json.dumps(YES | {"visible": {"accounts": ["111122223333"]}}),
    "a scope of nothing": json.dumps(YES | {"visible": [{}]}),
    "a scope by an unknown member": json.dumps(YES | {"visible": [{"regions": ["eu-central-1"]}]}),
    "a scope of no accounts": json.dumps(YES | {"visible": [{"accounts": []}]}),
    "a scope of an empty account": json.dumps(YES | {"visible": [{"accounts": [""]}]}),
    "a scope with an account as a number": json.dumps(YES | {"visible": [{"accounts": [111122223333]}]}),
    "a scope with an account twice": json.dumps(YES | {"visible": [{"accounts": ["1", "1"]}]}),
    "a scope that is null": json.dumps(YES | {"visible": [None]}),
    "33 scopes": json.dumps(YES | {"visible": [{"accounts": [str(n)]} for n in range(33)]}),
    "257 accounts": json.dumps(YES | {"visible": [{"accounts": [str(n) for n in range(257)]}]}),
    "a repeated key": json.dumps(NO)[:-1] + ', "allow": true}',
    "NaN": '{"allow": NaN, "reasons": [], "visible": "all"}',
    "nested without end": "[" * 100_000,
    "over the limit": json.dumps(NO) + " " * MAX_CHARACTERS,
    "text after it": json.dumps(NO) + json.dumps(YES),
    "a reason without a remedy": json.dumps(NO | {"reasons": [{"code": "no", "message": "Not you."}]}),
    "33 reasons": json.dumps(NO | {"reasons": [REASON] * 33}),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_anything_but_a_complete_answer_is_an_outage(answer: str) -> None:
    with pytest.raises(PolicyUnavailable):
        admin_decision_of(answer)


def test_a_complete_answer_is_read() -> None:
    scope = Scope(accounts=frozenset({"111122223333"}), actors=frozenset({"sandbox:reporter"}))

    assert admin_decision_of(json.dumps(YES)) == AdminAllow(Visible(everything=True))
    assert admin_decision_of(json.dumps(YES | {"visible": "own"})) == AdminAllow(Visible(own=True))
    assert admin_decision_of(json.dumps(SCOPED)) == AdminAllow(Visible(own=True, scopes=(scope,)))
    assert isinstance(admin_decision_of(json.dumps(NO)), AdminDeny)


def mutants(value: Any, chance: random.Random) -> Any:
    """Returns the value with one place of it changed."""
    value = copy.deepcopy(value)
    holder, key = chance.choice(list(places(value)))
    other = chance.choice([None, True, False, 0, 1, "", "all", "own", [], ["own"], {}, {"accounts": ["1"]}, "a b"])
    if chance.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = other
    return value


def places(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for one in value.values() for place in places(one)]
    if isinstance(value, list):
        return [(value, place) for place in range(len(value))] + [place for one in value for place in places(one)]
    return []


def test_schema_and_reader_agree_on_answers_changed_at_every_place() -> None:
    chance = random.Random(5)  # noqa: S311 - not for secrets
    verdicts = []
    for _ in range(3000):
        mutant = mutants(chance.choice([YES, NO, SCOPED]), chance)
        fits = not list(schema("admin-decision.json").iter_errors(mutant))
        try:
            admin_decision_of(json.dumps(mutant))
        except PolicyUnavailable:
            assert not fits, mutant
        else:
            assert fits, mutant
        verdicts.append(fits)

    assert 100 < sum(verdicts) < 2900


ALLOW_EVERYBODY = f"package remit.admin\n\ndecision := {json.dumps(YES)}\n"
UNDEFINED_FOR_STRANGERS = f'package remit.admin\n\ndecision := {json.dumps(NO)} if input.rpc == "x"\n'
HALF = 'package remit.admin\n\ndecision := {"allow": false}\n'


@pytest.mark.parametrize("rego", [ALLOW_EVERYBODY, UNDEFINED_FOR_STRANGERS, HALF], ids=["everybody", "nothing", "half"])
async def test_a_policy_that_does_not_refuse_strangers_may_not_decide(tmp_path: Path, rego: str) -> None:
    with pytest.raises(BundleRefused, match="remit/admin/"):
        await EmbeddedRego.start(bundle_of(tmp_path, DENY_ALL, admin__admin=rego), EMBEDDED)


async def test_the_real_opa_too_must_refuse_strangers(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", DENY_ALL, admin__admin=ALLOW_EVERYBODY)

    with opa_server(tmp_path) as opa, pytest.raises(BundleRefused, match="lets a stranger"):
        await OpaServer.start(bundle, opa.settings(), PATIENT)


async def test_a_bundle_without_the_package_lets_nobody(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, DENY_ALL)
    embedded = await EmbeddedRego.start(bundle, EMBEDDED)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(embedded.close)
        fake = await stack.enter_async_context(fake_opa(bundle.revision))
        server = await OpaServer.start(bundle, settings_for(fake.url), PATIENT, nonce="5" * 32)
        stack.push_async_callback(server.close)

        assert await told(embedded, olgas()) == {"deny": ["no_administration"]}
        assert await told(server, olgas()) == {"deny": ["no_administration"]}


FAULTY = f"""package remit.admin

decision := {json.dumps(NO)} if not input.caller.claims["do"]

decision := 1 / 0 if input.caller.claims["do"] == "fail"

decision := {{"allow": true}} if input.caller.claims["do"] == "half"

decision := "all" if input.caller.claims["do"] == "text"

decision := {json.dumps(YES)} if input.caller.claims["do"] == "allow"
"""


@pytest.mark.parametrize("do", ["fail", "half", "text", "nothing"])
async def test_what_the_policy_cannot_answer_is_an_outage_on_both_engines(tmp_path: Path, do: str) -> None:
    bundle = bundle_of(tmp_path / "bundle", DENY_ALL, admin__admin=FAULTY)
    async with AsyncExitStack() as stack:
        opa = stack.enter_context(opa_server(tmp_path))
        server = await OpaServer.start(bundle, opa.settings(), PATIENT)
        stack.push_async_callback(server.close)
        embedded = await EmbeddedRego.start(bundle, EMBEDDED)
        stack.push_async_callback(embedded.close)
        for engine in (embedded, server):
            assert await told(engine, question({"caller": {"claims": {"do": "allow"}}})) == {"visible": "all"}
            with pytest.raises(PolicyUnavailable):
                await engine.administer(engine.active, question({"caller": {"claims": {"do": do}}}))
