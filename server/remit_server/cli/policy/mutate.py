"""`remit-server policy mutate`: judges a bundle's tests by the mistakes that they notice."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from remit_server.cli.output import WRONG, complain, visible
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.rego.mutating.judging import Mutant, Mutation

_MOST_JOBS = 16


class Format(StrEnum):
    """How the survivors are told."""

    TEXT = "text"
    JSON = "json"


@app.command("mutate")
def mutate_policy(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    *,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Workers; 0: one for each core.", min=0, max=64)] = 0,
    threshold: Annotated[
        float, typer.Option(help="Percent of the mutants that must be noticed.", min=0, max=100)
    ] = 0.0,
    form: Annotated[Format, typer.Option("--format", "-f", help="text or json.", case_sensitive=False)] = Format.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds that each test may take.", min=0.01, max=600)] = 5.0,
) -> None:
    """Makes small mistakes in rules and catalogue, one by one, and tells which of them no test notices.

    Ends with 1 when the tests do not pass as they are, or notice fewer of the mistakes than they must.
    """
    from remit_server.adapters.policy.bundles.bundle import bundle_of
    from remit_server.adapters.policy.bundles.bundle_files import read_files
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.mutating.catalogue import places_of
    from remit_server.adapters.rego.mutating.judging import Effort, TestsFail, judge_tests
    from remit_server.cli.policy.telling.outcomes import as_text

    workers = jobs or min(os.cpu_count() or 1, _MOST_JOBS)
    try:
        files = read_files(bundle)
        found = asyncio.run(judge_tests(bundle_of(files, stamped=False), places_of(files), Effort(workers, timeout)))
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    except TestsFail as failed:
        complain(as_text(failed.ran, failed.texts, verbose=False))
        complain("the tests must pass before they can judge mistakes")
        raise typer.Exit(WRONG) from failed
    typer.echo(_as_json(found) if form is Format.JSON else "\n".join(_told(found)))
    if found.score < threshold:
        complain(f"{found.score:.2f} % of the mutants are noticed, and {threshold:g} % must be")
        raise typer.Exit(WRONG)


def _told(found: "Mutation") -> Iterator[str]:
    """Yields a line for each survivor, those that widen first, and the score."""
    from remit_server.adapters.rego.mutating.judging import Fate

    for mutant in found.survivors:
        yield f"{_place(mutant)}: {mutant.effect}: {visible(mutant.what)}, and no test would miss it{_more(mutant)}"
    effects = Counter(mutant.effect for mutant in found.survivors)
    told = ", ".join(f"{count} {effect}" for effect, count in effects.items())
    judged = found.count(Fate.KILLED) + found.count(Fate.SURVIVED)
    survived = f"; {found.count(Fate.SURVIVED)} survived ({told})" if told else ""
    left_out = f"; {found.left_out} were left out" if found.left_out else ""
    if found.catalogue_left_out:
        left_out += "; the catalogue is too large to be changed, and was left out"
    yield f"score {found.score:.2f} %: {found.count(Fate.KILLED)} of {judged} mutants were noticed{survived}{left_out}"


def _place(mutant: "Mutant") -> str:
    """Returns where a mutant stands."""
    return f"{mutant.path}:{mutant.line}" if mutant.line else mutant.path


def _more(mutant: "Mutant") -> str:
    """Returns what a mutant of the catalogue would give away."""
    return f". It would give {visible(mutant.widening)}" if mutant.widening else ""


def _as_json(found: "Mutation") -> str:
    """Returns everything as JSON."""
    from remit_server.adapters.rego.mutating.judging import Fate

    report: dict[str, Any] = {
        "score": round(found.score, 2),
        **{str(fate): found.count(fate) for fate in Fate},
        "left_out": found.left_out,
        "catalogue_left_out": found.catalogue_left_out,
        "mutants": [
            {
                "file": mutant.path,
                "line": mutant.line,
                "what": mutant.what,
                "effect": mutant.effect,
                "widening": mutant.widening,
                "fate": mutant.fate,
                "killer": mutant.killer,
            }
            for mutant in found.mutants
        ],
    }
    return json.dumps(report, indent=2)
