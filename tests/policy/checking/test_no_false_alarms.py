"""Sound Rego of every kind: `opa check --strict` with the published schema leaves it alone, and so do we."""

import json
import subprocess
from pathlib import Path

import pytest
import regorus  # the engine itself: the lints read its syntax tree
from tests.real_opa import find_opa

from remit_server.adapters.policy.checking.schemas import schema, schemas
from remit_server.adapters.rego.linting.all_lints import lint

SOUND = {
    "members of several kinds": "p[1] := 2\n\np.q contains 3",
    "members by several keys": "p[x] := 1 if some x in [1]\n\np[y] := 2 if some y in [2]",
    "members that are sets": "p[x] contains 1 if some x in [1]\n\np[2] contains 3",
    "destructured array": "x := a if { [a, _] := [1, 2]; a == 1 }",
    "destructured object": 'x := a if { {"k": a} := {"k": input.actor.id} }',
    "unify": "x := a if { [a, 1] = [input.actor.id, 1] }",
    "some in pattern": 'x if { some {"actions": acts} in input.intent.permissions; "a" in acts }',
    "some key": "x[k] := v if { some k, v in input.task.labels }",
    "index variable": "x contains p if { some i; p := input.intent.permissions[i].actions[0] }",
    "index variable used": "x[i] := p if { p := input.intent.permissions[i] }",
    "nested comprehension": "x := {k: [a | some a in v.actions] | some k, v in input.intent.permissions}",
    "function else": "f(a) := 1 if { a == 1 } else := 2 if { a == 2 } else := 3\n\nx := f(input.requested_duration_seconds)",  # noqa: E501 - a rule in one line
    "default function": "default f(_) := 0\n\nf(a) := 1 if a == 1\n\nx := f(2)",
    "pattern arguments": 'f("a", y) := y\n\nf("b", y) := y + 1\n\nx := f("a", 1)',
    "pattern argument unused kinds": "f([a, b]) := a + b\n\nx := f([1, 2])",
    "ref heads": "a.b.c := 1\n\na.b.d contains 2\n\nx := a.b",
    "ref head var": "groups[g].size := n if { some g in input.subject.groups; n := count(g) }",
    "every kv": 'x if { every k, v in input.task.labels { startswith(k, "a"); v != "" } }',
    "every value only": 'x if every g in input.subject.groups { g != "a" }',
    "with function": 'f(a) := a\n\nx := y if { y := f(1) with input.actor.id as "x" }',
    "negation": "x if not input.subject.email",
    "set ops": 'x := {g | some g in input.subject.groups} & {"a"}',
    "membership kv": 'x if "a", "b" in input.task.labels',
    "string templates": 'x := sprintf("%s-%d", [input.actor.id, input.requested_duration_seconds])',
    "object.get default": 'x := object.get(input.task.labels, "a", "none")',
    "object.get claims": 'x := object.get(input.subject.claims, ["a", "b"], null)',
    "claims open": 'x if input.subject.claims["https://x/y"].z == 1',
    "input by string key": 'x if input["subject"]["groups"][_] == "a"',
    "wildcard keys": 'x if { input.task.labels[_] == "a" }',
    "var key": 'x if { some k in ["a", "b"]; input.task.labels[k] }',
    "chained": 'x if {\n\ts := input.subject\n\tg := s.groups\n\tg[0] == "a"\n}',
    "raw string": "x if regex.match(`^a[0-9]+$`, input.actor.id)",
    "numbers": "x := -1 + 2 * input.task.grants_so_far",
    "null parent": "x if input.parent_task == null",
    "parent": "x := input.parent_task.id",
    "bool rule true": "x := true\n\ny if x",
    "set of objects": 'x contains {"a": 1, "b": g} if some g in input.subject.groups',
    "rule reading a rule": 'x := y\n\ny := z.a\n\nz := {"a": 1}',
    "call in head": "x := count(input.subject.groups)",
    "comprehension in head": 'x := [g | some g in input.subject.groups; startswith(g, "a")]',
    "walk-free object": 'x := object.union({"a": 1}, {"b": 2})',
    "local same name": 'f(x) := [y | some y in x]\n\ng(x) := {y | some y in x}\n\nz := [f(input.subject.groups), g(["a"])]',  # noqa: E501 - a rule in one line
    "same name two scopes": 'x if { some p in input.intent.permissions; p.actions } \n\ny if { some p in [{"foo": 1}]; p.foo }',  # noqa: E501 - a rule in one line
    "same name in one rule": 'x if { count([p | some p in input.intent.permissions]) > 0; some q in [{"foo": 1}]; q.foo }',  # noqa: E501 - a rule in one line
    "reused name in one rule": 'x := [a, b] if { a := [p.actions | some p in input.intent.permissions]; b := [p.foo | some p in [{"foo": 1}]] }',  # noqa: E501 - a rule in one line
    "import of input": "import input.subject as who\n\nx if who.groups[0]",
    "time": "x := time.parse_rfc3339_ns(input.context.time)",
    "clock": 'x := h if { [h, _, _] := time.clock([time.parse_rfc3339_ns(input.context.time), "Europe/Berlin"]) }',
    "output argument": "f(a) := a + 1\n\nx := b if { f(1, b) }",
    "equality bound": "x if { a := input.subject; b := input.actor; a.id == b.id }",
    "print": 'x if { print("a", input.actor.id); input.actor.kind == "oidc" }',
    "context": 'x if input.context.source_ip == "192.0.2.1"',
    "entire claims": "x := input.subject.claims",
    "subject passed": 'f(s) if "a" in s.groups\n\nx if f(input.subject)',
    "function used for both": 'id(o) := o.id\n\nx := [id(input.subject), id(input.actor), id({"id": 1})]',
    "constant in or": "x if { y := 1; y == input.task.grants_so_far }",
    "comparison of loop var": 'x if { some g in input.subject.groups; g != "a" }',
    "not equals index": 'x if { input.subject.groups[0] != "a" }',
    "long else": 'x := 1 if { input.actor.kind == "spiffe" } else := 2 if { input.actor.kind == "oidc" } else := 3',
    "partial object key call": "x[lower(g)] := 1 if some g in input.subject.groups",
    "some with every body use": 'x if { some k; input.task.labels[k] == "a"; every g in input.subject.groups { g != k } }',  # noqa: E501 - a rule in one line
    "with input": 'y := input.actor.id\n\nx := z if { z := y with input as {"actor": {"id": "a"}} }',
}


@pytest.mark.parametrize("rules", SOUND.values(), ids=SOUND.keys())
def test_sound_rules_are_left_alone(rules: str) -> None:
    engine = regorus.Engine()
    engine.add_policy("a.rego", f"package remit.issue\n\n{rules}\n")
    knowledge = {
        "schemas": {"data.remit.issue": schema("input.json"), "data.remit.admin": schema("admin-input.json")},
        "outline": {"remit": {}},
    }

    assert lint(json.loads(engine.get_ast_as_json()), knowledge) == []


@pytest.mark.parametrize("rules", [one for name, one in SOUND.items() if name != "some in pattern"])
def test_opa_leaves_them_alone_too(rules: str, tmp_path: Path) -> None:
    # NOTE: OPA's types want a pattern in `some ... in` to name every member, so one of them is ours alone.
    (tmp_path / "input.json").write_text(schemas()["input.json"])
    (tmp_path / "a.rego").write_text(f"package remit.issue\n\n{rules}\n")

    done = subprocess.run(  # noqa: S603 - the binary that the tests are pointed at
        [str(find_opa()), "check", "--strict", "--schema", str(tmp_path / "input.json"), str(tmp_path / "a.rego")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
