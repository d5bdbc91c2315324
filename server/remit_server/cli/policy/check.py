"""`remit-server policy check`: does everything the gateway does before it decides by a bundle, and advises."""

import asyncio
from typing import Annotated

import typer

from remit_server.cli.output import WRONG, complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by


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
        raise refused_by(refused) from refused
    read = reading.bundle
    for finding in advice:
        complain(f"advice: {finding}")
    typer.echo(f"revision {read.revision}: {len(read.rules)} files of rules, {len(read.capabilities)} capabilities")
    if strict and advice:
        raise typer.Exit(WRONG)
