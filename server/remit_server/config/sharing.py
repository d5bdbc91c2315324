"""A worker's share of what a configuration gives to a whole gateway."""

from dataclasses import replace

from remit_server.config.settings import Settings


def share_of(settings: Settings, workers: int) -> Settings:
    """Returns the settings of one of so many workers: the STS budget divided among them, everything else as it is.

    AWS counts an account's calls, so the budget is the gateway's; `limits` are each worker's own, because an agent's
    connection stays with one worker. A share is at least one call, even where that is more than the division gives.
    """
    aws = replace(
        settings.aws,
        requests_per_second=settings.aws.requests_per_second / workers,
        burst=max(1, settings.aws.burst // workers),
        max_in_flight=max(1, settings.aws.max_in_flight // workers),
    )
    return replace(settings, aws=aws)
