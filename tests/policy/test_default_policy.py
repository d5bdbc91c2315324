"""The default policy: what it answers on both engines, that its tests pass, that its parts fit their schemas."""

import copy
import json
import random
import re
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from tests import capability_cases
from tests.policy_bundles import DEFAULT_POLICIES, ENTITLEMENT, NO, YES, merged, question
from tests.real_opa import opa_answers, run_opa

from remit_sandbox.sample_account import role_policies
from remit_server.adapters.policy.answers.decision import PolicyUnavailable, decision_of
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.bundles.entitlement_json import permissions
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits, check_bundle
from remit_server.adapters.rego.process import Program, RegoProcess
from remit_server.adapters.rego.suite.outcome import Verdict
from remit_server.adapters.rego.suite.running import run_suite
from remit_server.adapters.rego.wire import ISSUE, QUERY
from remit_server.adapters.strict_yaml import strict_yaml
from remit_server.domain.capability import expand
from remit_server.domain.decision import Allow, Decision, DecisionInput, Deny, canonical_json
from remit_server.domain.errors import InvalidRequest, Remedy
from remit_server.domain.permission import as_document
from remit_server.domain.task import Capability
from remit_server.iam import Document, Witness, contains

CASES: list[dict[str, Any]] = strict_yaml((Path(__file__).parent / "issue_decisions.yaml").read_text("utf-8"))[0]
PATIENT = EngineLimits(decision_seconds=30.0, wait_seconds=30.0)
BUNDLE_FLAG = ("--bundle", str(DEFAULT_POLICIES))


@cache
def default_bundle() -> Bundle:
    return read_bundle(DEFAULT_POLICIES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[EmbeddedRego]:
    """The default policy on the embedded engine."""
    started = await EmbeddedRego.start(default_bundle(), PATIENT)
    yield started
    await started.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker() -> AsyncIterator[RegoProcess]:
    """One bare worker on the default policy: to see the answers themselves."""
    bundle = default_bundle()
    started = await RegoProcess.start(Program(bundle.rules, bundle.data_json, 512 << 20, 60.0))
    yield started
    await started.close()


def outcome(decision: Decision) -> dict[str, list[str]]:
    match decision:
        case Allow(entitlements):
            return {"allow": [entitlement.entitlement_id for entitlement in entitlements]}
        case Deny(reasons):
            return {"deny": [reason.code for reason in reasons]}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.asyncio(loop_scope="module")
async def test_the_decision_table_holds(engine: EmbeddedRego, case: dict[str, Any]) -> None:
    asked = DecisionInput(canonical_json(question(case["ask"])))

    decision = await engine.decide(engine.active, asked)

    assert outcome(decision) == {key: case[key] for key in ("allow", "deny") if key in case}


@pytest.mark.asyncio(loop_scope="module")
async def test_both_engines_answer_alike(worker: RegoProcess) -> None:
    inputs = [question(case["ask"]) for case in CASES] + generated(150)

    embedded = [json.loads(await worker.ask(ISSUE, json.dumps(one), seconds=30.0) or "null") for one in inputs]
    real = opa_answers("data.remit.issue.decision with input as c", inputs, *BUNDLE_FLAG)

    assert embedded == real
    assert None not in real


@pytest.mark.asyncio(loop_scope="module")
async def test_every_generated_answer_is_a_complete_decision(worker: RegoProcess) -> None:
    for one in generated(150):
        decision_of(await worker.ask(ISSUE, json.dumps(one), seconds=30.0) or "null")


def handed_on(chance: random.Random) -> dict[str, Any]:
    """Returns a task above."""
    return {
        "id": "t",
        "actor": f"spiffe://remit.sandbox/agent/{chance.choice(['copilot', 'crawler', ''])}",
        "depth": chance.randint(0, 2),
        "entitlements": chance.sample(["reports-reader", "orders-reader", ""], chance.randint(0, 3)),
    }


def generated(count: int) -> list[dict[str, Any]]:
    """Returns questions put together at random, the same at every run."""
    chance = random.Random(20261123)  # noqa: S311 - not a secret
    groups = ["analysts", "engineers", "security", "contractors", "", "ANALYSTS", "*"]
    actors = ["copilot", "crawler", "another", "copilot/child", "", "*", "cop:ilot", "é"]
    actions = ["s3:GetObject", "s3:*", "S3:Delete*", "*", "dynamodb:DeleteItem", "iam:PassRole", "s3:?elete*"]
    resources = ["*", "arn:aws:s3:::production/*", "arn:aws:s3:::pro*", "arn:aws:s3:::reports/*", "arn:aws:s3:::${x}"]
    return [
        question(
            {
                "subject": {"groups": chance.sample(groups, chance.randint(0, 3))},
                "actor": {"id": f"spiffe://remit.sandbox/agent/{chance.choice(actors)}"},
                "parent_task": chance.choice([None, None, None, handed_on(chance)]),
                "intent": {
                    "permissions": [
                        {
                            "actions": chance.sample(actions, chance.randint(1, 2)),
                            "resources": chance.sample(resources, chance.randint(1, 2)),
                            "conditions": [],
                        }
                        for _ in range(chance.randint(0, 2))
                    ]
                },
            }
        )
        for _ in range(count)
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_opening_hours_are_alike_on_both_engines(worker: RegoProcess) -> None:
    hours = {"days": ["Monday", "Sunday"], "from": "02:30", "to": "18:30", "time_zone": "Europe/Berlin"}
    zones = ["Europe/Berlin", "UTC", "America/New_York", "Asia/Kolkata"]
    moments = [
        f"2026-{month}-{day:02}T{hour:02}:30:00Z" for month in ("03", "10") for day in (25, 29) for hour in range(24)
    ]
    cases = [[hours | {"time_zone": zone}, moment] for zone in zones for moment in moments]

    real = opa_answers(_OPEN.format(c="c"), cases, *BUNDLE_FLAG)
    embedded = [await worker.ask(QUERY, _OPEN.format(c=json.dumps(case)), seconds=30.0) for case in cases]

    assert [answer is not None for answer in embedded] == [answer is True for answer in real]
    assert True in real


_OPEN = "data.remit.lib.time_window.is_open({c}[0], time.parse_rfc3339_ns({c}[1]))"


async def test_the_policies_own_tests_pass_on_the_embedded_engine() -> None:
    outcomes = (await run_suite(default_bundle())).outcomes

    assert len(outcomes) >= 50
    assert [one for one in outcomes if one.verdict is not Verdict.PASS] == []


def test_the_policies_own_tests_pass_on_the_real_opa() -> None:
    report = json.loads(run_opa("test", "--format", "json", "--bundle", str(DEFAULT_POLICIES)))

    assert len(report) >= 50
    assert [test["name"] for test in report if test.get("fail") or test.get("error") or test.get("skip")] == []


def test_the_real_opa_takes_the_bundle_strictly_and_finds_it_formatted(tmp_path: Path) -> None:
    run_opa("check", "--strict", "--bundle", str(DEFAULT_POLICIES))
    run_opa("build", "--bundle", str(DEFAULT_POLICIES), "--output", str(tmp_path / "bundle.tar.gz"))

    assert run_opa("fmt", "--list", str(DEFAULT_POLICIES / "remit")) == ""


async def test_nothing_is_advised_against_the_default_policy() -> None:
    assert await check_bundle(default_bundle()) == ()


def test_every_reason_of_the_policy_has_a_row_or_a_test() -> None:
    text = (DEFAULT_POLICIES / "remit/issue/issue.rego").read_text("utf-8")
    tests = (DEFAULT_POLICIES / "remit/issue/issue_test.rego").read_text("utf-8")
    codes = {line.split('"')[3] for line in text.splitlines() if line.strip().startswith('"code":')}

    untested = {code for code in codes if f'"{code}"' not in tests}

    assert len(codes) == 9
    assert untested == set()


def test_packages_and_what_others_use_of_them_are_described() -> None:
    listing = json.loads(run_opa("inspect", "--annotations", "--format", "json", str(DEFAULT_POLICIES)))
    described = {".".join(step["value"] for step in one["path"]) for one in listing["annotations"]}
    text = "\n".join(text for _, text in default_bundle().modules)
    packages = set(re.findall(r"^package (remit\.(?:lib\.)?[a-z_]+)$", text, re.MULTILINE))
    used = {f"remit.lib.{name}" for name in re.findall(r"\b(?!time\.|input\.)([a-z_]+\.[a-z_]+)\(", text)}
    lib = {name for name in used if name.rpartition(".")[0] in packages}

    expected = {f"data.{name}" for name in packages | lib if not name.endswith("_test")}

    assert {"data.remit.lib.groups.entitled", "data.remit.issue"} <= expected
    assert expected | {"data.remit.issue.decision", "data.remit.admin.decision"} <= described


@cache
def schema(name: str) -> Draft202012Validator:
    folder = DEFAULT_POLICIES / "schemas"
    loaded = {path.name: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        [(one["$id"], Resource.from_contents(one)) for one in loaded.values()]
    )
    Draft202012Validator.check_schema(loaded[name])
    return Draft202012Validator(loaded[name], registry=registry)


@pytest.mark.parametrize("name", ["entitlements", "capabilities", "administration"])
def test_the_catalogue_fits_its_schema(name: str) -> None:
    text = (DEFAULT_POLICIES / f"remit/catalog/{name}/data.yaml").read_text("utf-8")

    assert [error.message for error in schema(f"{name}.json").iter_errors(strict_yaml(text)[0])] == []


def test_every_entitlement_lies_within_its_role_s_ceiling() -> None:
    ceilings = {f"arn:aws:iam::111122223333:role/{role}": text for role, text in role_policies().items()}
    text = (DEFAULT_POLICIES / "remit/catalog/entitlements/data.yaml").read_text("utf-8")

    for name, entry in strict_yaml(text)[0]["entitlements"].items():
        document = as_document(permissions(entry["permissions"], (name,)))

        assert isinstance(contains(document, Document.parse(ceilings[entry["role_arn"]])), Witness), name


def test_questions_fit_their_schema() -> None:
    for one in [question(case["ask"]) for case in CASES]:
        assert [error.message for error in schema("input.json").iter_errors(one)] == []


def mutants(value: Any) -> list[Any]:
    """Returns the value with one thing wrong at every place: taken out, added, or of another type."""
    found: list[Any] = []
    for path in _paths(value):
        wrongs: list[Any] = [None, True, 7, "x\ny", [], {}, "REMOVED"]
        for wrong in wrongs:
            changed = copy.deepcopy(value)
            parent = changed
            for step in path[:-1]:
                parent = parent[step]
            if wrong == "REMOVED":
                del parent[path[-1]]
            else:
                parent[path[-1]] = wrong
            found.append(changed)
    return found


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, inner in steps for found in [(*path, step), *_paths(inner, (*path, step))]]


FULL: dict[str, Any] = merged(
    dict(YES),
    {
        "entitlements": [
            ENTITLEMENT
            | {
                "approval": {"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600},
                "bind": {"source_cidrs": ["192.0.2.0/24"]},
            }
        ]
    },
)


@pytest.mark.parametrize("whole", [FULL, dict(NO)], ids=["yes", "no"])
def test_the_gateway_and_the_schema_agree_on_what_a_decision_is(whole: dict[str, Any]) -> None:
    assert schema("decision.json").is_valid(whole)
    disagreements = []
    for mutant in mutants(whole):
        try:
            decision_of(json.dumps(mutant))
            taken = True
        except PolicyUnavailable:
            taken = False
        if taken is not schema("decision.json").is_valid(mutant):
            disagreements.append((taken, mutant))

    assert disagreements == []


CAPABILITIES = {name: dict(case.parameters) for name, case in capability_cases.CASES.items()}


def test_every_capability_is_tried_here() -> None:
    assert default_bundle().capabilities.keys() == CAPABILITIES.keys()


@pytest.mark.parametrize(("name", "parameters"), CAPABILITIES.items())
def test_a_capability_expands_to_literal_permissions(name: str, parameters: dict[str, str]) -> None:
    permissions = expand(Capability(name, parameters), default_bundle().capabilities, path="c")

    assert permissions
    assert not any("{" in str(resource) for one in permissions for resource in one.resources)


@pytest.mark.parametrize("name", ["dynamodb.read_items", "dynamodb.write_items"])
def test_a_leading_key_binds_the_permission_to_it(name: str) -> None:
    parameters = CAPABILITIES[name] | {"leading_key": "customer#1"}

    (permission,) = expand(Capability(name, parameters), default_bundle().capabilities, path="c")

    (condition,) = permission.conditions
    assert (condition.key, condition.values) == ("dynamodb:LeadingKeys", ("customer#1",))
    assert not any("scan" in str(action).lower() or "partiql" in str(action).lower() for action in permission.actions)


@pytest.mark.parametrize(("name", "parameters"), CAPABILITIES.items())
@pytest.mark.parametrize("wild", ["*", "a*", "${aws:username}", "?", "a\n", ""])
def test_a_wildcard_in_any_parameter_is_refused(name: str, parameters: dict[str, str], wild: str) -> None:
    for parameter in parameters:
        with pytest.raises(InvalidRequest):
            expand(Capability(name, parameters | {parameter: wild}), default_bundle().capabilities, path="c")


def test_remedies_are_the_domain_s() -> None:
    allowed = json.loads((DEFAULT_POLICIES / "schemas/decision.json").read_text("utf-8"))

    listed = allowed["properties"]["reasons"]["items"]["properties"]["remedy"]["enum"]

    assert sorted(listed) == sorted(remedy.value for remedy in Remedy)
