"""Opens a boto3 session on a keyring, where boto3 is installed."""

from typing import TYPE_CHECKING

from remit.keeping.renewal import Keyring

if TYPE_CHECKING:
    import boto3


def open_boto3_session(keyring: Keyring, region: str | None) -> "boto3.Session":
    """Returns a session on these credentials; raises ImportError without boto3."""
    try:
        from remit.keeping.boto3_session import boto3_session  # noqa: PLC0415 - boto3 is an extra, and slow to import
    except ModuleNotFoundError as error:
        if error.name not in {"boto3", "botocore"}:
            raise
        raise ImportError(
            "task.boto3_session() needs boto3: pip install 'remit[boto3]' (task.credentials() works without)",
            name=error.name,
        ) from None
    return boto3_session(keyring, region)
