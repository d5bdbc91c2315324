"""The table of revocation at AWS as it stands in the file: `[revocation]`."""

from remit_server.config.table_shape import Table, key


class RevocationTable(Table):
    """`[revocation]`: how AWS is told to refuse sessions that are out; absent: they work until their time guards."""

    role_name: str = key(
        "The role, in each account, with which the policies are written.",
        'role_name = "remit-revoker"',
        "remit-revoker",
    )
    policy_prefix: str = key(
        "The policies' names, before `-1` to `-4`; of one database only in each account.",
        'policy_prefix = "remit-revocations"',
        "remit-revocations",
    )
    propagation_bound_seconds: int = key(
        "How long AWS is assumed to take to obey a policy.", "propagation_bound_seconds = 300", 300, ge=10, le=3600
    )
    canary: bool = key(
        "Whether sessions of the gateway's own are denied along, to see when AWS obeys.", "canary = true", default=True
    )
    iam_endpoint_url: str | None = key(
        "Another endpoint than AWS's for IAM.", 'iam_endpoint_url = "https://iam.internal.example"', None
    )
    ec2_endpoint_url: str | None = key(
        "Another endpoint than AWS's for the canary's call.", 'ec2_endpoint_url = "https://ec2.internal.example"', None
    )
