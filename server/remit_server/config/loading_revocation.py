"""Makes the settings of revocation at AWS out of their table."""

import re
from datetime import timedelta
from typing import Final

from remit_server.config.loading_cloud import check_endpoint
from remit_server.config.mistakes import Notes
from remit_server.config.revocation_settings import RevocationSettings
from remit_server.config.revocation_shapes import RevocationTable
from remit_server.config.source import Source, table

_ROLE_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_PREFIX: Final = re.compile(r"[\w+=,.@-]{1,126}", re.ASCII)  # AWS takes 128 characters; "-1" comes after it
_NAMES_WHY: Final = "the ARNs of what is written at AWS are made of it"
_ENDPOINT_WHY: Final = "whoever answers there can make the gateway believe that sessions are refused"


def revocation(source: Source, notes: Notes) -> RevocationSettings | None:
    """Returns how AWS is told, None when the file has no such table; what is wrong is noted."""
    if "revocation" not in source.tree:
        return None
    item: RevocationTable | None = table(source, "revocation", notes)
    if item is None:
        return None
    if _ROLE_NAME.fullmatch(item.role_name) is None:
        mend = 'write the name alone: role_name = "remit-revoker"'
        notes.add("revocation.role_name", "is no name of a role", why=_NAMES_WHY, mend=mend)
    if _POLICY_PREFIX.fullmatch(item.policy_prefix) is None:
        mend = 'write the beginning of the names: policy_prefix = "remit-revocations"'
        notes.add("revocation.policy_prefix", "is no name of a policy", why=_NAMES_WHY, mend=mend)
    for name in ("iam_endpoint_url", "ec2_endpoint_url"):
        url = getattr(item, name)
        if url is not None:
            check_endpoint(url, notes, place=f"revocation.{name}", why=_ENDPOINT_WHY)
    return RevocationSettings(
        role_name=item.role_name,
        policy_prefix=item.policy_prefix,
        propagation_bound=timedelta(seconds=item.propagation_bound_seconds),
        canary=item.canary,
        iam_endpoint_url=item.iam_endpoint_url,
        ec2_endpoint_url=item.ec2_endpoint_url,
    )
