"""`remit-server policy test`: runs a bundle's tests on the engine that will decide by it."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.bundles.bundle import Bundle
    from remit_server.adapters.rego.suite.coverage import Coverage
    from remit_server.adapters.rego.suite.outcome import Ran


class Format(StrEnum):
    """How outcomes are told."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


@app.command("test")
def run_policy_tests(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    *,
    run: Annotated[str, typer.Option("--run", "-r", help="Only tests whose full name matches (RE2).")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Names the tests that passed, too.")] = False,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="text; json: as opa test; junit: for CI.", case_sensitive=False)
    ] = Format.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds that each test may take.", min=0.01, max=600)] = 5.0,
    coverage: Annotated[
        bool, typer.Option("--coverage", "-c", help="Tells which lines, entitlements and reasons were reached.")
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="Percent of lines that must be covered; implies --coverage.", min=0, max=100)
    ] = 0.0,
    exit_zero_on_skipped: Annotated[
        bool, typer.Option("--exit-zero-on-skipped", "-z", help="A skipped test is no failure.")
    ] = False,
) -> None:
    """Runs every rule named test_* as `opa test` does; ends with 1 when one is not true.

    Rules named todo_test_* are skipped, which ends with 1 too, unless --exit-zero-on-skipped is given.
    """
    from remit_server.adapters.policy.bundles.bundle import read_bundle
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.suite.coverage import coverage_of
    from remit_server.adapters.rego.suite.running import Options, run_suite

    options = Options(chosen=_chooser(run), seconds=timeout, coverage=coverage or threshold > 0)
    try:
        read = read_bundle(bundle, stamped=False)
        ran = asyncio.run(run_suite(read, options))
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    if not ran.outcomes:
        what = (
            f"no test matches {run!r}" if run else "no test was found. Write rules named test_... in *_test.rego files"
        )
        complain(f"{bundle}: {what}.")
        raise typer.Exit(CANNOT_START)
    reached = coverage_of(ran, read) if options.coverage else None
    _tell(ran, reached, read, form, verbose=verbose)
    if _is_wrong(ran, skipped_is_wrong=not exit_zero_on_skipped) | _is_thin(reached, threshold):
        raise typer.Exit(WRONG)


def _tell(ran: "Ran", reached: "Coverage | None", bundle: "Bundle", form: Format, *, verbose: bool) -> None:
    """Writes outcomes and coverage to standard output."""
    from remit_server.cli.policy.telling.coverage_words import coverage_json, coverage_text
    from remit_server.cli.policy.telling.outcomes import as_json, as_junit, as_text

    texts = dict(bundle.modules)
    match form:
        case Format.TEXT:
            typer.echo(as_text(ran, texts, verbose=verbose))
            if reached:
                typer.echo(coverage_text(reached))
        case Format.JSON if reached:  # as with opa: the coverage alone, and what failed beside it
            typer.echo(coverage_json(reached))
            if _is_wrong(ran, skipped_is_wrong=False):
                complain(as_text(ran, texts, verbose=verbose))
        case Format.JSON:
            typer.echo(as_json(ran))
        case Format.JUNIT:
            typer.echo(as_junit(ran, texts))


def _is_wrong(ran: "Ran", *, skipped_is_wrong: bool) -> bool:
    """Says whether a test failed."""
    from remit_server.adapters.rego.suite.outcome import Verdict

    good = ran.count(Verdict.PASS) + (0 if skipped_is_wrong else ran.count(Verdict.SKIPPED))
    return good < len(ran.outcomes)


def _is_thin(reached: "Coverage | None", threshold: float) -> bool:
    """Says, to standard error too, whether fewer lines are covered than must be."""
    if reached is None or reached.lines.percent >= threshold:
        return False
    complain(f"{reached.lines.percent:.2f} % of the lines are covered, and {threshold:g} % must be")
    return True


def _chooser(pattern: str) -> Callable[[str], bool]:
    """Returns what chooses tests by their full name; ends the command for what is no pattern."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        complain("--run is no regular expression (RE2)")
        raise typer.Exit(CANNOT_START) from None
    return lambda name: compiled.search(name) is not None
