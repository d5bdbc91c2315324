"""The environment of a command: without any AWS credentials but the endpoint's, and without the caller's tokens."""

import os
from collections.abc import Iterable, Mapping

KEPT = frozenset(
    {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_CA_BUNDLE",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_PAGER",
        "AWS_CLI_AUTO_PROMPT",
        "AWS_CLI_FILE_ENCODING",
        "AWS_DEFAULT_OUTPUT",
        "AWS_STS_REGIONAL_ENDPOINTS",
    }
)
"""What says where and how AWS is asked, and never who asks."""
KEPT_PREFIXES = ("AWS_ENDPOINT_URL",)
DROPPED_PREFIXES = ("AWS_", "REMIT_")
DROPPED = frozenset({"BOTO_CONFIG"})


def command_environment(
    environ: Mapping[str, str], endpoint: Mapping[str, str], *, region: str | None, secret: Iterable[str] = ()
) -> dict[str, str]:
    """Returns what a command inherits: everything but `AWS_*` that could win or leak, `REMIT_*`, and `secret` names.

    AWS's two files are replaced by an empty one, so that no profile's keys, and no `credential_process`, are found;
    instance metadata is switched off. `region` is for a command whose environment says none.
    """
    dropped = DROPPED | set(secret)
    kept = {name: value for name, value in environ.items() if _is_kept(name) and name not in dropped}
    regions = {name: kept[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if kept.get(name)}
    usual = next(iter(regions.values()), region)
    return {
        **kept,
        **({"AWS_REGION": usual, "AWS_DEFAULT_REGION": usual} if usual else {}),
        **regions,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **endpoint,
    }


def _is_kept(name: str) -> bool:
    """Says whether a variable is none that an AWS SDK takes credentials from, and none of remit's."""
    return name in KEPT or name.startswith(KEPT_PREFIXES) or not name.startswith(DROPPED_PREFIXES)
