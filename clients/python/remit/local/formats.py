"""Credentials as unmodified tools read them: what a credential process prints, what a container endpoint answers."""

from datetime import UTC

from remit.grant import Credentials


def process_json(credentials: Credentials) -> dict[str, object]:
    """Returns the JSON of a `credential_process` (AWS CLI, "Sourcing credentials with an external process")."""
    return {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": _time(credentials),
    }


def container_json(credentials: Credentials) -> dict[str, object]:
    """Returns the JSON of a container credential provider (AWS SDKs, "Container credential provider")."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": _time(credentials),
    }


def _time(credentials: Credentials) -> str:
    return credentials.expire_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
