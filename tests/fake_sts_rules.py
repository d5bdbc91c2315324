"""What AWS checks of an AssumeRole call, as the fake STS does: written from AWS's documents, not from our client."""

import hmac
import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from tests.fake_sts_policies import MalformedDocument, check_document

MAX_SKEW = timedelta(minutes=5)
MAX_POLICY_CHARACTERS, PACKED_LIMIT = 2048, 2500
SHORTEST_SECONDS, CHAINED_SECONDS, LONGEST_SECONDS = 900, 3600, 43_200
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_TAG_PUNCTUATION = frozenset("_.:/=+-@")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An error answer of STS."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def verify_signature(*, url: str, headers: Mapping[str, str], body: bytes, keys: Mapping[str, str]) -> str:
    """Recomputes the signature with botocore's own signer, as it is in SignedHeaders.

    Returns the region that was signed for; raises Refused.
    """
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise Refused(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    secret = keys.get(found["key"])
    if secret is None:
        raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    timestamp = headers.get("x-amz-date", "")
    signed_at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(signed_at - datetime.now(UTC)) > MAX_SKEW or timestamp[:8] != found["day"]:
        raise Refused(403, "SignatureDoesNotMatch", "Signature expired")
    names = found["names"].split(";")
    if not {"host", "x-amz-date", "content-type"} <= set(names) or found["service"] != "sts":
        raise Refused(403, "SignatureDoesNotMatch", "A header that must be signed is not")
    request = AWSRequest("POST", url, data=body, headers={name: headers.get(name, "") for name in names})
    request.context["timestamp"] = timestamp
    signer = SigV4Auth(BotocoreCredentials(found["key"], secret), "sts", found["region"])
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    if not hmac.compare_digest(signer.signature(to_sign, request), found["signature"]):
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
    return found["region"]


def tags_of(form: Mapping[str, str]) -> dict[str, str]:
    """Returns the session tags of the form; raises Refused for what AWS would refuse."""
    tags: dict[str, str] = {}
    number = 1
    while f"Tags.member.{number}.Key" in form:
        tags_key, value = form[f"Tags.member.{number}.Key"], form.get(f"Tags.member.{number}.Value", "")
        if tags_key.lower() in {key.lower() for key in tags}:
            raise _invalid("Duplicate tag keys found")
        tags[tags_key] = value
        number += 1
    if len(tags) > 50:
        raise _invalid("Member must have length less than or equal to 50")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise _invalid("a tag key or value of this length or prefix")
        if not all(_is_tag_character(character) for character in key + value):
            raise _invalid("a tag key or value with this character")
    if sum(name.startswith("Tags.") for name in form) != 2 * len(tags):
        raise _invalid("tags that are not numbered from one")
    return tags


def check_transitive(form: Mapping[str, str], tags: Collection[str], inherited: Collection[str]) -> None:
    """Checks the transitive tag keys, and that no tag replaces one that the caller's own session inherited."""
    keys = [value for name, value in form.items() if name.startswith("TransitiveTagKeys.member.")]
    if len(keys) > 50:
        raise _invalid("at 'transitiveTagKeys' failed to satisfy constraint: length less than or equal to 50")
    own, above = {key.lower() for key in tags}, {key.lower() for key in inherited}
    if own & above:
        raise Refused(400, "InvalidParameterValue", "One of the specified tag keys conflicts with a transitive tag key")
    if not {key.lower() for key in keys} <= own:
        raise Refused(400, "InvalidParameterValue", "A transitive tag key must be included in the requested tags")


def check_names(form: Mapping[str, str]) -> None:
    """Checks session name, source identity and external id; raises Refused."""
    if _NAME.fullmatch(form.get("RoleSessionName", "")) is None:
        raise _invalid("at 'roleSessionName' failed to satisfy constraint")
    source = form.get("SourceIdentity")
    if source is not None and (_NAME.fullmatch(source) is None or source.startswith("aws:")):
        raise _invalid("at 'sourceIdentity' failed to satisfy constraint")
    external_id = form.get("ExternalId")
    if external_id is not None and _EXTERNAL_ID.fullmatch(external_id) is None:
        raise _invalid("at 'externalId' failed to satisfy constraint")


def duration_of(form: Mapping[str, str], *, longest: int, chained: bool) -> int:
    """Returns the duration in seconds; `longest` is the role's MaxSessionDuration. Raises Refused."""
    text = form.get("DurationSeconds", "3600")
    if not text.isascii() or not text.isdigit() or not SHORTEST_SECONDS <= int(text) <= LONGEST_SECONDS:
        raise _invalid("at 'durationSeconds' failed to satisfy constraint")
    if chained and int(text) > CHAINED_SECONDS:
        raise _invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by chaining")
    if int(text) > longest:
        raise _invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return int(text)


def check_policy(form: Mapping[str, str]) -> None:
    """Checks the session policy's size, characters and grammar; raises Refused.

    NOTE: AWS takes a call without one and hands out the whole role. The fake refuses it, so that no test can pass by
    it.
    """
    text = form.get("Policy", "")
    if not text:
        raise Refused(418, "NoSessionPolicy", "a call without a session policy reached STS")
    if len(text) > MAX_POLICY_CHARACTERS:
        raise _invalid(f"Value '{text}' at 'policy' failed to satisfy constraint: length less than or equal to 2048")
    if any(not (character in "\t\n\r" or " " <= character <= "\u00ff") for character in text):
        raise _invalid(f"Value '{text}' at 'policy' failed to satisfy constraint: pattern")
    try:
        check_document(text)
    except MalformedDocument as malformed:
        raise Refused(400, "MalformedPolicyDocument", str(malformed)) from None


def packed_percent(policy: str, tags: Mapping[str, str]) -> int:
    """Models the packed size in percent of its limit: it grows with the policy and with every tag.

    AWS does not say how it packs. The model is linear, lets 2,048 plain characters with Remit's two tags pass, and lets
    many tags alone overflow.
    """
    size = len(policy) + sum(len(key) + len(value) + 2 for key, value in tags.items())
    return size * 100 // PACKED_LIMIT


def _invalid(message: str) -> Refused:
    return Refused(400, "ValidationError", f"1 validation error detected: {message}")


def _is_tag_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LZN" or character in _TAG_PUNCTUATION
