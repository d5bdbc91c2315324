"""`remit-server policy`: tests, checks and stamps a policy bundle, on the engine that will decide by it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.testing import Outcome

app = typer.Typer(name="policy", help="Check and test a policy bundle.", no_args_is_help=True)

BundleFolder = Annotated[
    Path, typer.Option("--bundle", "-b", help="The folder with .manifest and remit/.", file_okay=False)
]
DEFAULT_BUNDLE = Path("policies")


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
        raise _refused(refused) from refused
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


@app.command("check")
def check_policy(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    strict: Annotated[bool, typer.Option("--strict", help="Ends with 1 when there is advice, too.")] = False,
) -> None:
    """Does everything the gateway does before it decides by a bundle; ends with 1 when it would refuse it.

    Beyond that it advises, where the catalogue and AWS's own reference of actions differ.
    """
    from remit_server.adapters.policy.aws_advice import aws_advice
    from remit_server.adapters.policy.bundle import Reading, examine
    from remit_server.adapters.policy.findings import BundleRefused, Finding
    from remit_server.adapters.rego.embedded import EmbeddedRego, check_bundle

    async def checked(reading: Reading) -> tuple[Finding, ...]:
        # NOTE: the rules are checked even when the files have faults, so that their author sees all of them at once.
        try:
            advice = await check_bundle(reading.bundle)
        except BundleRefused as refused:
            raise BundleRefused({*reading.faults, *refused.findings}) from refused
        if reading.faults:
            raise BundleRefused(reading.faults)
        engine = await EmbeddedRego.start(reading.bundle)
        await engine.close()
        return (*reading.advice, *advice)

    try:
        reading = examine(bundle)
        advice = (*asyncio.run(checked(reading)), *aws_advice(reading.bundle, bundle))
    except BundleRefused as refused:
        raise _refused(refused) from refused
    read = reading.bundle
    for finding in advice:
        complain(f"advice: {finding}")
    typer.echo(f"revision {read.revision}: {len(read.rules)} files of rules, {len(read.capabilities)} capabilities")
    if strict and advice:
        raise typer.Exit(WRONG)


@app.command("stamp")
def stamp_policy(bundle: BundleFolder = DEFAULT_BUNDLE) -> None:
    """Writes the revision of the files into .manifest, after every intended change to them."""
    from remit_server.adapters.policy.bundle import read_bundle, stamp
    from remit_server.adapters.policy.findings import BundleRefused

    try:
        revision = stamp(bundle)
        read_bundle(bundle)
    except BundleRefused as refused:
        raise _refused(refused) from refused
    typer.echo(f"revision {revision}")


def _told(outcome: "Outcome") -> str:
    """Returns a test's outcome in one line, an error's reason below it."""
    line = f"{outcome.verdict:5} {outcome.name.removeprefix('data.')} ({outcome.path}:{outcome.line})"
    return f"{line}\n      {outcome.detail}" if outcome.detail else line


def _refused(refused: "BundleRefused") -> typer.Exit:
    """Tells every fault on standard error and returns the exit that follows."""
    for finding in refused.findings:
        complain(str(finding))
    return typer.Exit(WRONG)
