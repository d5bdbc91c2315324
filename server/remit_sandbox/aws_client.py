"""boto3 clients of the local AWS that see nothing of the laptop's own AWS configuration."""

from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.config import Config


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Credentials as AWS knows them; only the access key id is ever printed."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def aws_client(service: str, endpoint_url: str, region: str, keys: AwsKeys) -> Any:
    """Returns a boto3 client that signs with these keys; a call ends in half a minute and is tried once."""
    # The profile is named here because AWS_PROFILE may name one that the laptop does not have.
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    config = Config(
        connect_timeout=10,
        read_timeout=30,
        retries={"total_max_attempts": 1},
        proxies={},
        s3={"addressing_style": "path"},
    )
    return boto3.session.Session(botocore_session=session).client(
        service,
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
        config=config,
    )
