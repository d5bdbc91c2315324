"""A boto3 session on the credentials of a task. Imported only by whoever asks for one: it needs boto3."""

import boto3
from botocore.credentials import CredentialProvider, CredentialResolver, ReadOnlyCredentials, RefreshableCredentials
from botocore.session import Session as BotocoreSession

from remit.grant import Credentials
from remit.keeping.renewal import Keyring

METHOD = "remit"


class TaskCredentials(RefreshableCredentials):
    """botocore's view of a task's credentials: renewed by the task, and gone with it.

    botocore asks when the credentials come near their end (by its own clock and our windows); whether that leads to a
    call is the keyring's to say, so that several sessions of a task share one renewal.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        current = keyring.credentials()
        windows = keyring.windows  # None: not renewed, so botocore need not ask before the very end
        super().__init__(
            access_key=current.access_key_id,
            secret_key=current.secret_access_key,
            token=current.session_token,
            expiry_time=current.expire_time,
            refresh_using=self._metadata,
            method=METHOD,
            time_fetcher=keyring.now,
            advisory_timeout=int(windows.advisory.total_seconds()) if windows else 1,
            mandatory_timeout=int(windows.mandatory.total_seconds()) if windows else 1,
        )
        keyring.keep(self)

    def __repr__(self) -> str:
        return "TaskCredentials(***)"

    def refresh_needed(self, refresh_in: int | None = None) -> bool:
        """Says whether to ask the task again: near the end, and always once the task is over, which then says so."""
        return self._keyring.is_over or super().refresh_needed(refresh_in)

    def forget(self) -> None:
        """Drops the copies that botocore keeps."""
        self._access_key = self._secret_key = self._token = ""
        self._frozen_credentials = ReadOnlyCredentials("", "", "", None)

    def _metadata(self) -> dict[str, str]:
        """Returns the task's credentials in the shape that botocore takes."""
        return _metadata_of(self._keyring.credentials())


class TaskProvider(CredentialProvider):
    """Hands the task's credentials to a botocore session."""

    METHOD = METHOD
    CANONICAL_NAME = "custom-remit"

    def __init__(self, credentials: TaskCredentials) -> None:
        super().__init__()
        self._task_credentials = credentials

    def load(self) -> TaskCredentials:
        """Returns the credentials."""
        return self._task_credentials


def boto3_session(keyring: Keyring, region: str | None) -> boto3.Session:
    """Returns a session that knows no other credentials: not the environment's, no profile's, no instance's."""
    session = BotocoreSession()
    session.register_component("credential_provider", CredentialResolver([TaskProvider(TaskCredentials(keyring))]))
    return boto3.Session(botocore_session=session, region_name=region or keyring.credentials().region)


def _metadata_of(credentials: Credentials) -> dict[str, str]:
    """Writes what RefreshableCredentials takes from a refresh."""
    return {
        "access_key": credentials.access_key_id,
        "secret_key": credentials.secret_access_key,
        "token": credentials.session_token,
        "expiry_time": credentials.expire_time.isoformat(),
    }
