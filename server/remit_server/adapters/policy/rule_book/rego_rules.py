"""Rules about the Rego of a bundle."""

from typing import Final

from remit_server.adapters.policy.rule_book.kinds import advice, error

REGO_RULES: Final = (
    error(
        "rego-text",
        "A Rego file nests too deeply, has monstrous lines or too many of them, or a NUL byte",
        "Such text can crash or stall whatever parses it",
        "Name the parts as rules of their own; split the file",
    ),
    error(
        "rego-syntax",
        "A Rego file does not parse as Rego v1",
        "A bundle with a file that cannot be read decides nothing",
        "Correct the line",
    ),
    error(
        "rego-compile",
        "The rules parse, but do not compile: an unsafe variable, one assigned twice, or used before it is assigned",
        "The rule could never be evaluated; every decision would be an outage",
        "Bind the variable by `some`, `:=` or a reference before it is used, once",
    ),
    error(
        "refused-builtin",
        "A rule calls a builtin that policies may not use, such as time.now_ns or http.send",
        "A decision must be repeatable bit for bit from its input, and must not reach out while it is made",
        "Use input.context.time; put what would be fetched or drawn into the bundle's data",
    ),
    error(
        "unknown-builtin",
        "A rule calls what is neither a rule of the bundle nor a builtin on which both engines agree",
        "The call would fail, or mean something else, on one of the engines",
        "Correct the name, import its package, or use a listed builtin",
    ),
    error(
        "wrong-arity",
        "A function is called with a number of arguments that it does not take",
        "OPA refuses it; the embedded engine fails at the first decision that gets there",
        "Give it as many arguments as it is defined with",
    ),
    error(
        "recursion",
        "A rule can reach itself",
        "Rego has no recursion: OPA refuses it, and the embedded engine overflows its stack",
        "Unroll it",
    ),
    error(
        "negated-call",
        "A negated expression holds a call that may be undefined: `not f(x).ok`, `not f(g(x))`, `not f(x) == 1`",
        "Where it is undefined, the embedded engine takes the negation for true, OPA for undefined: they part",
        "Write `value := f(x)`, then `not value.ok`; or give the function a default, or negate a helper rule",
    ),
    error(
        "outside-root",
        "A package is outside the bundle's root, remit",
        "The gateway asks data.remit only, so such rules would have no effect here and others elsewhere",
        "Name the package remit.<folder>",
    ),
    error(
        "no-entrypoint",
        "No rule defines data.remit.issue.decision, or remit.admin has none either",
        "Without it every request is an outage",
        "Define `decision` in the package",
    ),
    error(
        "no-refusal",
        "The policy gives a stranger who asks for everything no decision, or a yes",
        "A policy that does not refuse a stranger refuses nobody, or has gaps in which it does not answer",
        "Deny by default, with a reason",
    ),
    error(
        "duplicate-default",
        "A rule has two defaults",
        "Which of them counts differs between engines: with one of them a no may be a yes",
        "Keep one",
    ),
    error(
        "conflicting-rules",
        "One name is defined in several kinds: as a value, as a set, as a function, or with other numbers of arguments",
        "OPA refuses it, the embedded engine takes one of them or fails",
        "Give each its own name",
    ),
    error(
        "rule-over-data",
        "A rule and the bundle's data define the same path",
        "One of them hides the other, and which one differs between engines",
        "Rename the rule, or take the data out",
    ),
    error(
        "shadowed-import",
        "Two imports of a file have the same name",
        "The later one hides the earlier: the rules mean something else than they seem to",
        "Name one of them otherwise: `import ... as ...`",
    ),
    error(
        "unknown-input",
        "A rule reads a member of input that the gateway never sends",
        "It is always undefined: what should allow never does, and `not` of it is always true",
        "Correct the name after schemas/input.json or schemas/admin-input.json",
    ),
    advice(
        "unknown-data",
        "A rule reads a path of data.remit that is neither a rule nor data of this bundle",
        "It is always undefined: what should forbid never does, and `not` of it is always true",
        "Correct the name, or put the data into the bundle",
    ),
    advice(
        "reads-purpose",
        "A rule reads input.task.purpose",
        "It is written by the agent, for people: whoever decides by it lets the agent decide",
        "Decide by the intent, the labels or the groups instead",
    ),
    advice(
        "reads-history",
        "A rule reads input.delegation_history",
        "It is for information only (RFC 8693 4.1): nobody has verified what stands in it",
        "Decide by input.actor and input.parent_task instead",
    ),
    advice(
        "reads-whole",
        "A rule reads the whole of input or of input.task, by a value, a variable index, or as an argument elsewhere",
        "It may depend on what it must not decide by (purpose, delegation_history), and no check can see that",
        "Read the members that it needs by their names",
    ),
    advice(
        "missing-default",
        "`allow` has conditions and no default",
        "Where they do not hold it is undefined rather than false: what is built from it is undefined too, an outage",
        "Write `default allow := false`",
    ),
    advice(
        "not-equals-in-loop",
        "`!=` compares with every element of a collection in turn",
        "It holds as soon as one element differs, which is nearly always: it seldom means 'none is equal'",
        "Write `not x in collection`, or `every`",
    ),
    advice(
        "constant-condition",
        "A condition compares nothing but constants",
        "It is always true or always false, so the rule is wider, or dead, whatever it seems to ask",
        "Take it out, or compare what was meant",
    ),
    advice(
        "shadows-builtin",
        "A rule has the name of a builtin",
        "Within its package the name means the rule: `contains` or `startswith` no longer do what a reader expects",
        "Give it another name",
    ),
    advice(
        "unused-import",
        "An import is never used",
        "`opa check --strict` refuses it, and a reader looks for rules that are not there",
        "Take it out",
    ),
    advice(
        "unused-variable",
        "A variable is assigned, declared or taken as an argument, and never used",
        "`opa check --strict` refuses it; a comparison that was meant may be missing",
        "Use it, take it out, or write `_`",
    ),
)
