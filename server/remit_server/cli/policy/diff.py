"""`remit-server policy diff A B`: what everybody can reach under one policy and not under the other."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import app, refused_by
from remit_server.cli.policy.naming.published import may_ask_for_revisions

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.bundles.bundle import Bundle
    from remit_server.application.comparing.values import Comparison
    from remit_server.cli.policy.naming.published import Published

MAX_PROBES: Final = 8
_SOURCES: Final = "A folder, an archive (.tar.gz), git:REF:FOLDER, or a gateway's revision by its digest or `active`."


class Format(StrEnum):
    """How the outcome is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


@app.command("diff")
@may_ask_for_revisions
def diff_policies(
    published: "Published",
    *,
    before: Annotated[str, typer.Argument(metavar="A", help=f"The policy before. {_SOURCES}")],
    after: Annotated[str, typer.Argument(metavar="B", help=f"The policy after. {_SOURCES}")],
    ci: Annotated[
        bool, typer.Option("--ci", help="Ends with 1 unless equal or narrowing is proven (or allowed, see below).")
    ] = False,
    allow_widening: Annotated[
        bool, typer.Option("--allow-widening", help="With --ci: a widening, or what cannot be proven, passes.")
    ] = False,
    rules_reviewed: Annotated[
        str,
        typer.Option(
            "--rules-reviewed",
            metavar="WORD",
            help="With --ci: lets pass what cannot be proven of just this change, by the word that the diff prints.",
        ),
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How the outcome is written.")] = Format.TEXT,
    probes: Annotated[
        Path | None,
        typer.Option("--probes", dir_okay=False, help="A JSON list of parts of the input to ask with, too."),
    ] = None,
) -> None:
    """Compares what everybody can reach under two policies: narrowing, equal or widening, with examples.

    Exit codes: 0 told, or with --ci: it may pass; 1 with --ci: it may not; 2 the two could not be compared.
    """
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.pipes import WorkerLost
    from remit_server.cli.policy.naming.sources_of import bundles_from

    if not ci and (allow_widening or rules_reviewed):
        complain("--allow-widening and --rules-reviewed say what a pipeline may let pass: they belong to --ci.")
        raise typer.Exit(CANNOT_START)
    try:
        variations = _probes(probes) if probes else ()
        outcome = asyncio.run(_compared(*bundles_from(before, after, published), variations))
    except BundleRefused as refused:
        refused_by(refused)
        raise typer.Exit(CANNOT_START) from refused
    except (OSError, ValueError, WorkerLost) as wrong:
        complain(f"the two policies could not be compared: {wrong}")
        raise typer.Exit(CANNOT_START) from wrong
    except typer.Exit:
        raise
    # NOTE: to a pipeline 1 is an answer that people may agree to; what nobody foresaw must not look like one.
    except Exception as unforeseen:
        complain(f"the two policies could not be compared: {type(unforeseen).__name__}: {unforeseen}")
        raise typer.Exit(CANNOT_START) from unforeseen
    typer.echo(_written(outcome, form), nl=False)
    if ci and not outcome.passes(allow_widening=allow_widening, reviewed=rules_reviewed):
        complain(f"NOT ACCEPTED: {_what_lets_pass(outcome)}")
        raise typer.Exit(WRONG)


def _what_lets_pass(outcome: "Comparison") -> str:
    """Says which option lets a pipeline pass that this comparison stopped."""
    if outcome.passes(reviewed=outcome.review):
        return (
            "that nobody can reach more is not proven: when you have read the change, say "
            f"--rules-reviewed {outcome.review} (for just this change), or --allow-widening"
        )
    seen = "somebody can reach more" if outcome.widens else "that nobody can reach more is not proven"
    return f"{seen}: if that is meant, say --allow-widening"


async def _compared(before: "Bundle", after: "Bundle", variations: tuple[dict[str, Any], ...]) -> "Comparison":
    """Returns the comparison; each policy is parsed and evaluated in workers that are ended afterwards."""
    from remit_server.adapters.policy.bundles.compared_bundle import side_of
    from remit_server.adapters.rego.asked import asked_bundle, matches_actor
    from remit_server.adapters.rego.outlining import outlined
    from remit_server.application.comparing.compare_policies import ComparePolicies

    async with asked_bundle(before) as then, asked_bundle(after) as now:
        rules = await asyncio.gather(outlined(before), outlined(after))
        compare = ComparePolicies(then, now, matches_actor, variations)
        return await compare(side_of(before, rules[0]), side_of(after, rules[1]))


def _written(outcome: "Comparison", form: Format) -> str:
    """Returns the outcome in the form asked for."""
    from remit_server.cli.policy.diffing.as_json import json_of
    from remit_server.cli.policy.diffing.markdown import markdown_of
    from remit_server.cli.policy.diffing.text import text_of

    return {Format.TEXT: text_of, Format.JSON: json_of, Format.MARKDOWN: markdown_of}[form](outcome)


def _probes(path: Path) -> tuple[dict[str, Any], ...]:
    """Returns parts of the input that are laid over every question, each in its turn; raises ValueError."""
    from remit_server.adapters.strict_json import strict_json

    listed = strict_json(path.read_text(encoding="utf-8"), max_characters=64 * 1024)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError(f'{path}: probes are a list of objects, such as [{{"subject": {{"acr": "mfa"}}}}]')
    if len(listed) > MAX_PROBES:
        raise ValueError(f"{path}: at most {MAX_PROBES} probes")
    return tuple(listed)
