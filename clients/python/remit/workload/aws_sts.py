"""AWS: STS vouches for a role outside of AWS (GetWebIdentityToken, "outbound identity federation")."""

import importlib
import re
from typing import Any

from remit.workload.failing import NoWorkloadIdentity, harmless

SECONDS = 300  # AWS's own default; long enough for a call, and asked for again while it is needed
_TIMEOUT = 5
_REGION = "set AWS_REGION, or give region=: only the regional endpoints of STS know GetWebIdentityToken"
_MEND = {
    "OutboundWebIdentityFederationDisabledException": (
        "have an administrator of the account run `aws iam enable-outbound-web-identity-federation`"
    ),
    "AccessDenied": "allow this role sts:GetWebIdentityToken, with sts:IdentityTokenAudience as the gateway's audience",
    "SessionDurationEscalationException": "the role's own session is nearly over: let the platform renew it first",
}
_CODE = re.compile(r"[A-Za-z.]{1,80}", re.ASCII)
_ELSE = "see docs/workload-identity/aws.md"


def fetch(audience: str, region: str | None) -> str:
    """Asks STS for a token with this audience, as whatever role this process has; raises NoWorkloadIdentity."""
    try:
        session, config, errors = (
            importlib.import_module(f"botocore.{name}") for name in ("session", "config", "exceptions")
        )
    except ModuleNotFoundError:
        raise NoWorkloadIdentity(
            "AWS is asked by botocore, which is not installed", advice="pip install 'remit[boto3]'"
        ) from None
    bounds = config.Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"max_attempts": 2, "mode": "standard"}
    )
    try:
        own = session.get_session()
        found = region or own.get_config_variable("region")
        if not found:
            raise NoWorkloadIdentity("no region of AWS is known, and the global endpoint cannot answer", advice=_REGION)
        own.set_config_variable("sts_regional_endpoints", "regional")
        sts = own.create_client("sts", region_name=found, config=bounds)
        if not hasattr(sts, "get_web_identity_token"):
            raise NoWorkloadIdentity(
                "this botocore does not know GetWebIdentityToken", advice="pip install --upgrade 'remit[boto3]'"
            )
        answer = sts.get_web_identity_token(Audience=[audience], SigningAlgorithm="RS256", DurationSeconds=SECONDS)
    except errors.ClientError as error:
        raise _refused(error) from None
    except errors.BotoCoreError as error:
        raise _failed(error) from None
    return str(answer.get("WebIdentityToken", ""))


def _refused(error: Any) -> NoWorkloadIdentity:
    """Returns what STS's own no means."""
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    code = code if _CODE.fullmatch(code) else "an unknown error"
    return NoWorkloadIdentity(
        f"STS refused GetWebIdentityToken: {code}: {harmless(str(said.get('Message', '')))}",
        advice=_MEND.get(code, _ELSE),
    )


def _failed(error: Exception) -> NoWorkloadIdentity:
    """Returns what kept this process from asking STS."""
    kind = type(error).__name__
    advice = {
        "NoCredentialsError": "this process has no role of AWS: give the task, function, pod or instance one",
    }
    return NoWorkloadIdentity(
        f"STS could not be asked: {kind}: {harmless(str(error))}",
        advice=advice.get(kind, "look at the network and the proxy settings of this machine, and try again"),
    )
