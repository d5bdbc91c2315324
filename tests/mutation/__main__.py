"""`python -m tests.mutation`: changes the algebra in thousands of small ways and names each change no test notices."""

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.mutation.accounted import NOTICED, PACKAGE, SURVIVORS, entries, name_of
from tests.mutation.changing import all_of, put_in_place
from tests.mutation.checks import Check, collected
from tests.mutation.judging import Bench, Verdict, apart, first_failure
from tests.mutation.operators import Mutant

MODULES: Final = (
    *(f"containment.{name}" for name in ("exact", "examples", "fast", "implication", "lifting")),
    *(f"containment.{name}" for name in ("proving", "rules", "values")),
    *("containment.verdict", "language.automaton", "language.pattern", "language.reading"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges the mutants that are asked for, and answers 1 when one survives that nothing accounts for, or widens."""
    asked = _asked(arguments)
    if asked.noticed:
        return _as_noted()
    accounted = {entry.name for entry in entries(SURVIVORS)}
    counted = dict.fromkeys(("noticed", "accounted for", "wrong"), 0)
    for verdict in _verdicts(asked):
        kind, line = _told(verdict, accounted)
        counted[kind] += 1
        if kind == "wrong" or asked.verbose:
            print(line, flush=True)
    print(f"{sum(counted.values())} mutants: {', '.join(f'{count} {kind}' for kind, count in counted.items())}")
    return 1 if counted["wrong"] else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--module", action="append", help="only this module below iam, such as language.pattern")
    parser.add_argument("--function", help="only this function, such as Pattern.includes")
    parser.add_argument("--sample", type=int, help="only so many mutants, spread evenly over all")
    parser.add_argument("--verbose", action="store_true", help="say of every mutant which test noticed it")
    parser.add_argument("--noticed", action="store_true", help="only the mutants of noticed.md, each before its test")
    return parser.parse_args(arguments)


def _verdicts(asked: argparse.Namespace) -> Iterator[Verdict]:
    everything = list(_mutants([f"{PACKAGE}{name}" for name in asked.module or MODULES]))
    chosen = [each for each in everything if asked.function in (None, each[1].function)]
    if asked.sample:
        chosen = chosen[:: max(1, len(chosen) // asked.sample)][: asked.sample]
    bench = Bench.set_up()
    for tree, mutant in chosen:
        yield bench.judge(tree, mutant)


def _mutants(modules: Sequence[str]) -> Iterator[tuple[ast.Module, Mutant]]:
    for module in modules:
        tree, mutants = all_of(module)
        yield from ((tree, mutant) for mutant in mutants)


def _told(verdict: Verdict, accounted: set[str]) -> tuple[str, str]:
    """Returns how a verdict counts, and the line that says so."""
    mutant = verdict.mutant
    place = f"server/{mutant.module.replace('.', '/')}.py:{mutant.line} {name_of(mutant)}"
    is_accounted = name_of(mutant) in accounted
    if verdict.noticed_by is not None:
        stale = ": strike it from the survivors" if is_accounted else ""
        return "noticed", f"{place}\n  noticed by {verdict.noticed_by}{stale}"
    if verdict.lets_out is not None:
        return "wrong", f"{place}\n  WIDENS: {verdict.lets_out}"
    return ("accounted for" if is_accounted else "wrong"), f"{place}\n  survives"


def _as_noted() -> int:
    """Runs each noted mutant before the one test that notices it."""
    noted = {entry.name: entry.heading for entry in entries(NOTICED)}
    checks = {check.name: check for check in collected(sorted({test.partition("::")[0] for test in noted.values()}))}
    found = {name_of(mutant): (tree, mutant) for tree, mutant in _mutants([f"{PACKAGE}{name}" for name in MODULES])}
    missed = [name for name in noted if name not in found or noted[name] not in checks]
    for name in sorted(noted.keys() - set(missed)):
        tree, mutant = found[name]
        missed += [name] if apart(_before(tree, mutant, checks[noted[name]])) is None else []
    for name in missed:
        print(f"not noticed by {noted[name]}: {name}")
    print(f"{len(noted) - len(missed)} of {len(noted)} mutants noticed by their tests")
    return 1 if missed else 0


def _before(tree: ast.Module, mutant: Mutant, check: Check) -> Callable[[], str | None]:
    def run() -> str | None:
        put_in_place(tree, mutant)
        return first_failure([check])

    return run


if __name__ == "__main__":
    sys.exit(main())
