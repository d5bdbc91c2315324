"""Which credentials the doctor looks with: the gateway's own, or those of profiles; it never changes anything."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.aws.revoking.revoker import RevocationNames, account_places
from remit_server.adapters.aws.setup.doctor import Examined
from remit_server.adapters.aws.setup.live import CannotSee, LiveAccount
from remit_server.config.settings import Settings
from remit_server.domain.entitlement import AssumedBy

_SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>[0-9]{12}):assumed-role/(?P<name>[^/]+)/.+", re.ASCII)
_OWN: Final = "the gateway's own credentials"
_PATIENCE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "read_timeout": 20,
    "retries": {"total_max_attempts": 4, "mode": "standard"},
}


class NotConnected(Exception):  # noqa: N818 - named for what it says
    """No credentials, or AWS does not take them; says which, with nothing secret in it."""


class Connecting:
    """Makes botocore's clients for one configuration."""

    def __init__(self, settings: Settings, names: RevocationNames) -> None:
        self._settings = settings
        self._places = account_places(settings.roles, names)

    def accounts(self, profiles: Sequence[str]) -> dict[str, LiveAccount]:
        """Returns the accounts that can be looked into, by number; raises NotConnected."""
        sessions = {f"profile {name}": self._session(name) for name in profiles} or {_OWN: self._own()}
        found = {}
        for whose, session in sessions.items():
            account = self._identity(session, whose).split(":")[4]
            found[account] = LiveAccount(self._client(session, "iam"))
        return found

    def examined(self, accounts: Mapping[str, LiveAccount], *, has_profiles: bool, gateway: str | None) -> Examined:
        """Returns what the accounts are held to; the gateway's ARN is the one given, or that of its credentials."""
        roles, issuer = self._settings.roles, self._settings.own_issuer
        host = "" if issuer is None else issuer.url.removeprefix("https://")
        opened = (*roles, *(place.revoker for place in self._places.values()))
        by_token = {
            role.arn: (role.web_identity_subject, host) for role in opened if role.assumed_by is AssumedBy.WEB_IDENTITY
        }
        is_known = self._settings.aws.access_key_id is not None or not has_profiles
        if gateway is None and is_known and len(by_token) < len(opened):
            gateway = _as_principal(self._identity(self._own(), _OWN), accounts)
        return Examined(roles, self._places, self._settings.revocation is not None, gateway, by_token)

    def _own(self) -> Any:
        """Returns a session with the keys of the configuration, or with those of botocore's own chain."""
        import botocore.session  # noqa: PLC0415 - takes a tenth of a second

        aws = self._settings.aws
        if aws.access_key_id is None or aws.secret_access_key is None:
            return botocore.session.Session()
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        token = None if aws.session_token is None else aws.session_token.reveal()
        session.set_credentials(aws.access_key_id, aws.secret_access_key.reveal(), token)
        return session

    def _session(self, profile: str) -> Any:
        """Returns a session of the profile; raises NotConnected."""
        import botocore.session  # noqa: PLC0415 - takes a tenth of a second

        session = botocore.session.Session(profile=profile)
        if profile not in session.available_profiles:
            raise NotConnected(
                f"there is no AWS profile {profile}: `aws configure list-profiles` lists those there are"
            )
        return session

    def _client(self, session: Any, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - takes a tenth of a second

        aws, table = self._settings.aws, self._settings.revocation
        url = aws.endpoint_url if service == "sts" else (None if table is None else table.iam_endpoint_url)
        verify = None if aws.ca_file is None or url is None else str(aws.ca_file)
        config = Config(**_PATIENCE)
        return session.create_client(service, region_name=aws.region, endpoint_url=url, verify=verify, config=config)

    def _identity(self, session: Any, whose: str) -> str:
        """Returns the ARN that AWS knows these credentials by; raises NotConnected."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - takes a tenth of a second

        try:
            return str(self._client(session, "sts").get_caller_identity()["Arn"])
        except ClientError as refused:
            code = refused.response.get("Error", {}).get("Code")
            raise NotConnected(f"AWS does not take {whose}: {code}. Log in anew, or name another --profile.") from None
        except BotoCoreError as failed:
            # NOTE: its texts may quote what a credentials' provider printed: only the kind goes on.
            kind = type(failed).__name__
            raise NotConnected(f"{whose} could not be used: {kind}. Log in, or name another --profile.") from None


def _as_principal(arn: str, accounts: Mapping[str, LiveAccount]) -> str:
    """Returns the ARN that policies name: of a session that of its role, with its path where IAM shows it."""
    session = _SESSION.fullmatch(arn)
    if session is None:
        return arn
    account = accounts.get(session["account"])
    try:
        live = None if account is None else account.role(session["name"])
    except CannotSee:
        live = None
    return (
        live.arn if live is not None else f"arn:{session['partition']}:iam::{session['account']}:role/{session['name']}"
    )
