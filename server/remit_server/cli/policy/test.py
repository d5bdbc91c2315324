"""`remit-server policy test`: runs a bundle's tests on the engine that will decide by it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.rego.testing import Outcome


@app.command("test")
def run_policy_tests(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Names the tests that passed, too.")] = False,
) -> None:
    """Runs every rule named test_*; ends with 1 when one is not true."""
    from remit_server.adapters.policy.bundle import read_bundle
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.testing import Verdict, run_tests

    try:
        outcomes = asyncio.run(run_tests(read_bundle(bundle, stamped=False)))
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    if not outcomes:
        complain(f"{bundle}: no test was found. Write rules named test_... in *_test.rego files.")
        raise typer.Exit(CANNOT_START)
    for outcome in outcomes:
        if verbose or outcome.verdict is not Verdict.PASS:
            typer.echo(_told(outcome))
    passed = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
    typer.echo(f"{passed} of {len(outcomes)} tests passed")
    if passed < len(outcomes):
        raise typer.Exit(WRONG)


def _told(outcome: "Outcome") -> str:
    """Returns a test's outcome in one line, an error's reason below it."""
    line = f"{outcome.verdict:5} {outcome.name.removeprefix('data.')} ({outcome.path}:{outcome.line})"
    return f"{line}\n      {outcome.detail}" if outcome.detail else line
