"""Safety rules for Rego before it may decide: what crashes, hangs or misleads the engine, or cannot be repeated.

The text rules run anywhere; the rules on the syntax tree run where the tree is made, in a worker that may die of it.
Builtins are an allow-list: those on which the embedded engine and OPA agree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.negations import negation_findings
from remit_server.adapters.rego.syntax import Reference, Rule, rules_of

ENTRYPOINT: Final = "data.remit.issue.decision"
ADMIN_ENTRYPOINT: Final = "data.remit.admin.decision"
MAX_BRACKETS: Final = 40
MAX_LINE: Final = 1_000
MAX_LINES: Final = 10_000
_MOST_STEPS: Final = 8

BUILTINS: Final = frozenset(
    {
        "abs",
        "array.concat",
        "array.reverse",
        "array.slice",
        "ceil",
        "concat",
        "contains",
        "count",
        "endswith",
        "floor",
        "format_int",
        "glob.match",
        "indexof",
        "intersection",
        "is_array",
        "is_boolean",
        "is_null",
        "is_number",
        "is_object",
        "is_set",
        "is_string",
        "lower",
        "max",
        "min",
        "net.cidr_contains",
        "numbers.range",
        "object.filter",
        "object.get",
        "object.keys",
        "object.remove",
        "object.subset",
        "object.union",
        "object.union_n",
        "print",
        "product",
        "regex.match",
        "replace",
        "round",
        "sort",
        "split",
        "sprintf",
        "startswith",
        "strings.any_prefix_match",
        "strings.any_suffix_match",
        "strings.count",
        "strings.reverse",
        "substring",
        "sum",
        "time.add_date",
        "time.clock",
        "time.date",
        "time.diff",
        "time.parse_duration_ns",
        "time.parse_rfc3339_ns",
        "time.weekday",
        "to_number",
        "trim",
        "trim_left",
        "trim_prefix",
        "trim_right",
        "trim_space",
        "trim_suffix",
        "type_name",
        "union",
    }
)

_REFUSED: Final = {
    "time.now_ns": "Use input.context.time, so that the decision can be repeated",
    "rand.intn": "Decide without chance, so that the decision can be repeated",
    "uuid.rfc4122": "Decide without chance, so that the decision can be repeated",
    "opa.runtime": "Decide by input and data alone",
    "http.send": "Put what it would fetch into the bundle's data",
    "net.lookup_ip_addr": "Put the addresses into the bundle's data",
    "upper": "Use lower, on which both engines agree",
}
_REFUSED_FAMILIES: Final = {
    "rand.": "Decide without chance, so that the decision can be repeated",
    "uuid.": "Decide without chance, so that the decision can be repeated",
    "regex.": "Use regex.match, on which both engines agree",
    "io.": "The gateway verified the tokens; decide by their claims",
}
_UNWISE: Final = {
    "input.delegation_history": ("which is for information only (RFC 8693 4.1)", "reads-history"),
    "input.task.purpose": ("which is written by the agent, for people", "reads-purpose"),
}
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_BRACKET: Final = re.compile(f"[{re.escape(''.join([*_OPENING, *_OPENING.values()]))}]")
_SIGNS: Final = re.compile(r"(?:-\s*+)++")  # possessive: looked at once, however a text is made
# A quoted string, a raw string, or a comment: brackets in them open nothing.
_QUIET: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*')


def text_findings(modules: Iterable[tuple[str, str]]) -> list[Finding]:
    """Returns what must not even reach the parser: NUL, deep brackets, monstrous lines and files."""
    found: list[Finding] = []
    for path, text in modules:
        if "\0" in text:
            line = text[: text.index("\0")].count("\n") + 1
            found.append(
                Finding(path, line, "it holds a NUL byte, which hides what follows", "Take it out", "rego-text")
            )
        lines = text.split("\n")
        if len(lines) > MAX_LINES:
            found.append(Finding(path, 0, f"it has over {MAX_LINES} lines", "Split it into files", "rego-text"))
        for number, line_text in enumerate(lines, start=1):
            if len(line_text) > MAX_LINE:
                found.append(Finding(path, number, f"the line has over {MAX_LINE} characters", "Break it", "rego-text"))
        if deep := _deep_line(text):
            found.append(
                Finding(
                    path,
                    deep,
                    f"brackets stand over {MAX_BRACKETS} deep",
                    "Name the parts as rules of their own",
                    "rego-text",
                )
            )
    return found


def _deep_line(text: str) -> int:
    """Returns the line on which brackets, or signs before a value, nest too deeply, or 0."""
    bare = _QUIET.sub(lambda quiet: "\n" * quiet.group().count("\n"), text)
    depth, opening = 0, _OPENING.keys()
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket.group() in opening else -1
        if depth > MAX_BRACKETS:
            return bare.count("\n", 0, bracket.start()) + 1
    for signs in _SIGNS.finditer(bare):
        if signs.group().count("-") >= MAX_BRACKETS:
            return bare.count("\n", 0, signs.start()) + 1
    return 0


def tree_findings(trees: Sequence[Mapping[str, Any]], *, entrypoint: str = ENTRYPOINT) -> list[Finding]:
    """Returns what the syntax trees of a bundle's rules (never its tests) hold against them.

    `trees` is the engine's own list, one per module: unknown or refused builtins, recursion, a package outside `remit`,
    a negated call on which the engines differ, a missing entrypoint.
    """
    rules = [rule for tree in trees for rule in rules_of(tree)]
    known = frozenset(rule.path for rule in rules)
    owned = _with_prefixes(known)
    found = [finding for rule in rules for finding in _call_findings(rule, known, owned)]
    found += _package_findings(rules)
    found += _recursion_findings(rules)
    found += negation_findings(trees, BUILTINS, owned)
    if entrypoint not in known:
        package, _, name = entrypoint.removeprefix("data.").rpartition(".")
        problem = f"no rule defines the entrypoint {entrypoint}"
        found.append(
            Finding(f"{package.replace('.', '/')}/", 0, problem, f"Define {name} in package {package}", "no-entrypoint")
        )
    return sorted(set(found))


def tree_advice(trees: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Returns what is better not decided by, though nothing forbids it."""
    return sorted(
        Finding(rule.file, reference.line, f"a rule reads {reference.name}, {why}", "Decide by something else", rule_id)
        for tree in trees
        for rule in rules_of(tree)
        for reference in rule.references
        for read, (why, rule_id) in _UNWISE.items()
        if reference.name == read or reference.name.startswith(f"{read}.")
    )


def _package_findings(rules: Iterable[Rule]) -> Iterator[Finding]:
    """Yields a finding for each file whose package is not below the bundle's root."""
    for rule in rules:
        if not rule.path.startswith("data.remit."):
            yield Finding(
                rule.file,
                1,
                "its package is outside the bundle's root, remit",
                "Name the package remit.<folder>",
                "outside-root",
            )


def _call_findings(rule: Rule, known: frozenset[str], owned: frozenset[str]) -> Iterator[Finding]:
    """Yields a finding for each name that is neither a rule of the bundle nor a builtin for both engines."""
    for reference in rule.references:
        name = _resolved(rule, reference, owned)
        if name in known or name in BUILTINS or name.partition(".")[0] == "input":
            continue
        if mend := _refusal(name, called=reference.called):
            yield Finding(rule.file, reference.line, f"{name} is refused in policies", mend, "refused-builtin")
        elif reference.called:
            problem = (
                f"{name or 'what is called here'} is neither a rule of this bundle nor a builtin both engines agree on"
            )
            mend = "Correct the name, import its package, or use a listed builtin"
            yield Finding(rule.file, reference.line, problem, mend, "unknown-builtin")


def _refusal(name: str, *, called: bool) -> str | None:
    """Returns what to do instead of a refused builtin, or None; its bare name is refused too, as `with` may use it."""
    if name in _REFUSED:
        return _REFUSED[name]
    return next((mend for family, mend in _REFUSED_FAMILIES.items() if called and name.startswith(family)), None)


def _resolved(rule: Rule, reference: Reference, owned: frozenset[str]) -> str:
    """Returns the full path of what a name in a rule means: a rule of its own package comes before a builtin."""
    name = reference.name
    first = name.partition(".")[0]
    own = f"{rule.package}.{first}" in owned and (reference.called or first not in rule.bound)
    return f"{rule.package}.{name}" if own else name


def _recursion_findings(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yields one finding per ring of rules that reach themselves: OPA refuses it, regorus overflows its stack."""
    known = frozenset(rule.path for rule in rules)
    owned = _with_prefixes(known)
    first: dict[str, Rule] = {}
    edges: dict[str, set[str]] = {}
    for rule in rules:
        first.setdefault(rule.path, rule)
        for reference in rule.references:
            edges.setdefault(rule.path, set()).update(_reach(_resolved(rule, reference, owned), known))
    told: set[str] = set()
    for path in sorted(edges):
        if path not in told and (way := _way_back(path, edges)):
            told.update(way)
            problem = f"it reaches itself: {_around((*way, path))}"
            yield Finding(first[path].file, first[path].line, problem, "Rego has no recursion: unroll it", "recursion")


def _around(way: tuple[str, ...]) -> str:
    """Returns a way from a rule back to itself as text, a long one without its middle."""
    steps = [step.removeprefix("data.") for step in way]
    if len(steps) > _MOST_STEPS:
        steps[_MOST_STEPS // 2 : -_MOST_STEPS // 2] = [f"({len(steps) - _MOST_STEPS} more)"]
    return " -> ".join(steps)


def _with_prefixes(paths: Iterable[str]) -> frozenset[str]:
    """Returns every path with all the paths it leads through: rules may be named `limits.hours`."""
    return frozenset(path.rsplit(".", cut)[0] for path in paths for cut in range(path.count(".") + 1))


def _reach(name: str, known: frozenset[str]) -> set[str]:
    """Returns the rules a path may evaluate: the one it names or leads into, or all below a mere prefix."""
    if not name.startswith("data"):
        return set()
    steps = name.split(".")
    into = {".".join(steps[:length]) for length in range(1, len(steps) + 1)} & known
    return into or {path for path in known if path.startswith(f"{name}.")}


def _way_back(start: str, edges: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Returns a shortest way from a rule back to itself, or nothing."""
    waiting: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in waiting:
        for step in sorted(edges.get(way[-1], ())):
            if step == start:
                return way
            if step not in seen:
                seen.add(step)
                waiting.append((*way, step))
    return ()
