"""What Rego may not do before it may decide, and that the rules are read as the engine reads them."""

import json

import pytest
import regorus  # the engine itself: the checks read its syntax tree

from remit_server.adapters.rego.checks import BUILTINS, text_findings, tree_findings

HEAD = "package remit.issue\n\nimport data.remit.lib.http\nimport data.remit.lib.http as web\n\ndecision := {}\n\n"
LIBRARY = "package remit.lib.http\n\nsend(x) := x\n"
FIRST_LINE = 8


def findings(rules: str) -> list[str]:
    engine = regorus.Engine()
    engine.add_policy("issue.rego", HEAD + rules)
    engine.add_policy("http.rego", LIBRARY)
    return [str(finding) for finding in tree_findings(json.loads(engine.get_ast_as_json()))]


REFUSED = {
    "time": ("x := time.now_ns()", "time.now_ns is refused"),
    "time nested": ('x := object.get(input, ["a", time.now_ns()], 1)', "time.now_ns is refused"),
    "time as an index": ("x := input.a[time.now_ns()]", "time.now_ns is refused"),
    "time in a comprehension": ("x := {k: v | some k, v in input.o; v > time.now_ns()}", "time.now_ns is refused"),
    "time in a head": ("x[time.now_ns()] := 1", "time.now_ns is refused"),
    "time in a default": ("default x := 1\n\nx := time.now_ns() if input.a", "time.now_ns is refused"),
    "time in an else": ("x := 1 if input.a else := time.now_ns()", "time.now_ns is refused"),
    "time in every": ("x if every y in input.l { y > time.now_ns() }", "time.now_ns is refused"),
    "time under with": ("x := y if { y := 1 with time.now_ns as 3 }", "time.now_ns is refused"),
    "a builtin replaced by time": ("x := y if { y := count([]) with count as time.now_ns }", "time.now_ns is refused"),
    "chance": ('x := rand.intn("a", 9)', "rand.intn is refused"),
    "uuid": ('x := uuid.rfc4122("a")', "uuid.rfc4122 is refused"),
    "uuid parse": ('x := uuid.parse("a")', "uuid.parse is refused"),
    "runtime": ("x := opa.runtime()", "opa.runtime is refused"),
    "names": ('x := net.lookup_ip_addr("a")', "lookup_ip_addr is refused"),
    "regex.split": ('x := regex.split("a", "b")', "regex.split is refused"),
    "upper": ('x := upper("a")', "upper is refused"),
    "an unknown builtin": ("x := foo.bar(1)", "foo.bar is neither"),
    "an unknown function": ("x := foo(1)", "foo is neither"),
    "an unknown function of a package": ("x := http.post(1)", "data.remit.lib.http.post is neither"),
    "an unknown function by its path": ("x := data.remit.lib.no.way(1)", "data.remit.lib.no.way is neither"),
    "a function calling itself": ("f(n) := f(n + 1)", "remit.issue.f -> remit.issue.f"),
    "functions calling each other": ("f(n) := g(n)\n\ng(n) := f(n)", "remit.issue.f -> remit.issue.g -> remit.issue.f"),
    "rules reading each other": ("a if b\n\nb if a", "reaches itself"),
    "a rule reading its package": ("a if data.remit.issue", "reaches itself"),
    "a rule reading everything": ("a if data", "reaches itself"),
    "a rule reading by a variable": ("a if data.remit[input.x]", "reaches itself"),
    "a loop through every": ("a if every y in [1] { y == b }\n\nb if a", "reaches itself"),
    "a loop through an index": ("a := input.x[b]\n\nb := a", "reaches itself"),
    "a loop through an argument": ("a := f([b])\n\nf(x) := x\n\nb := a", "reaches itself"),
    "a loop through a partial object": ("a[k] := 1 if { some k in input.l; f(k) }\n\nf(k) if a[k]", "reaches itself"),
    "a loop through a nested name": ("o.p := o.q\n\no.q := o.p", "reaches itself"),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_with_its_file_and_line(rules: str, expected: str) -> None:
    found = findings(rules)

    assert any(expected in finding for finding in found), found
    assert all(finding.startswith("issue.rego:") for finding in found)
    assert int(found[0].split(":")[1]) >= FIRST_LINE


ALLOWED = {
    "a function of another package": "x := http.send(1)",
    "an import under another name": "x := web.send(1)",
    "a function by its whole path": "x := data.remit.lib.http.send(1)",
    "a function of the same package": "x := f(1)\n\nf(y) := y",
    "a nested function name": "x := limits.cut(1)\n\nlimits.cut(y) := y",
    "a variable named like a rule": "y := input.a\n\nx if { some y in [1]; y == 1 }\n\nz if x",
    "an argument named like a rule": "group := member(1)\n\nmember(group) := group",
    "data of the catalogue": "x if data.remit.catalog[input.x]",
    "input by a function's name": "x if input.time.now_ns",
    "sets, objects, arrays": "x contains k if some k in [1]\n\ny := {k: [v] | some k, v in input.o}\n\nz := count(x)",
    "format and regex": 'x := sprintf("%s", [input.a]) if regex.match("^a", input.a)',
}


@pytest.mark.parametrize("rules", ALLOWED.values(), ids=ALLOWED.keys())
def test_it_is_allowed(rules: str) -> None:
    assert findings(rules) == []


def test_the_entrypoint_must_be_there_exactly() -> None:
    engine = regorus.Engine()
    engine.add_policy("a.rego", "package remit.issues\n\ndecision := {}\n\nDecision := {}\n")

    found = tree_findings(json.loads(engine.get_ast_as_json()))

    assert ["no rule defines the entrypoint data.remit.issue.decision" in str(one) for one in found] == [True]


def test_http_is_refused_where_no_package_has_its_name() -> None:
    engine = regorus.Engine()
    engine.add_policy("a.rego", 'package remit.issue\n\ndecision := http.send({"url": "https://example.test"})\n')

    found = tree_findings(json.loads(engine.get_ast_as_json()))

    assert [finding.problem for finding in found] == ["http.send is refused in policies"]


def test_a_package_outside_the_root_is_refused() -> None:
    engine = regorus.Engine()
    engine.add_policy("a.rego", HEAD)
    engine.add_policy("b.rego", LIBRARY)
    engine.add_policy("c.rego", "package system.authz\n\nallow := true\n")

    found = tree_findings(json.loads(engine.get_ast_as_json()))

    assert [finding.path for finding in found] == ["c.rego"]


TEXTS = {
    "a NUL byte": ("package a\n\n\0x := 1", 3, "NUL"),
    "brackets": ("package a\nx := " + "[" * 41 + "]" * 41, 2, "brackets"),
    "brackets over many lines": ("package a\nx := " + "(\n" * 41 + "1" + ")\n" * 41, 42, "brackets"),
    "mixed brackets": ("package a\nx := " + '[{"a":(' * 20 + "1", 2, "brackets"),
    "signs": ("package a\nx := " + "-" * 40 + "1", 2, "brackets"),
    "a long line": ("package a\n# " + "x" * 1000, 2, "characters"),
    "many lines": ("package a\n" + "\n" * 10_000, 0, "lines"),
}


@pytest.mark.parametrize(("text", "line", "expected"), TEXTS.values(), ids=TEXTS.keys())
def test_text_that_could_hurt_the_parser_is_refused_before_it(text: str, line: int, expected: str) -> None:
    (finding,) = text_findings([("a.rego", text)])

    assert (finding.path, finding.line) == ("a.rego", line)
    assert expected in finding.problem


@pytest.mark.parametrize(
    "text", ['x := "' + "[" * 60 + '"', "x := `" + "{\n" * 60 + "`", "# " + "(" * 60, '# " \nx := "\\"[[" # [']
)
def test_brackets_in_strings_and_comments_open_nothing(text: str) -> None:
    assert text_findings([("a.rego", f"package a\n{text}\n")]) == []


def test_a_quote_in_a_comment_hides_no_bracket() -> None:
    text = "package a\n# it's a \"quote\nx := " + "[" * 50 + ' # "\n'

    assert len(text_findings([("a.rego", text)])) == 1


def complaint_of_the_engine(rules: str) -> str:
    """Returns what the engine says of data.a.x; nothing of the engine outlives the call.

    NOTE: a frame that holds both an engine and the exception it raised is a cycle, which the collector may free on
    another thread; the engine then complains there, in the middle of another test.
    """
    engine = regorus.Engine()
    engine.add_policy("a.rego", rules)
    try:
        engine.eval_query_as_json("data.a.x")
    except RuntimeError as complaint:
        return str(complaint)
    return ""


@pytest.mark.parametrize("name", sorted(BUILTINS - {"print"}))
def test_every_listed_builtin_exists_in_the_engine(name: str) -> None:
    said = complaint_of_the_engine(f"package a\n\nx := {name}()\n")

    assert said != ""
    assert "could not find function" not in said
