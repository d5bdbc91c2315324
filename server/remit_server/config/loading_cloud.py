"""Makes the settings of AWS, the roles with their ceilings, and the addition to the forbidden floor."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from remit_server.config.files import MAX_CEILING_BYTES, Files
from remit_server.config.loading_serving import is_loopback
from remit_server.config.mistakes import Notes
from remit_server.config.settings import AwsSettings
from remit_server.config.shapes import AwsTable, ForbiddenTable, RoleTable
from remit_server.config.source import Source
from remit_server.domain.aws_names import partition_of, role_arn_of
from remit_server.domain.entitlement import AssumedBy, Role
from remit_server.domain.secret import Secret
from remit_server.iam import ActionPattern, Document, Effect, MalformedPattern, MalformedPolicy, floor

CHAINED_SECONDS: Final = 3_600
_ACCESS_KEY = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_CEILING_WHY: Final = "the ceiling is the second opinion: nothing outside it is issued, whatever the policy says"
_ARN_WHY: Final = "credentials are issued of exactly the roles listed here"


def aws(item: AwsTable, source: Source, files: Files) -> AwsSettings | None:
    """Returns how STS is reached, or None after noting what is wrong."""
    before = len(files.notes.mistakes)
    _check_region("aws.region", item.region, files.notes)
    if item.endpoint_url is not None:
        check_endpoint(item.endpoint_url, files.notes)
    ca_file = files.authorities("aws.ca_file", item.ca_file) if item.ca_file is not None else None
    secret = _secret("aws.secret_access_key", item.secret_access_key_file, source, files)
    token = _secret("aws.session_token", item.session_token_file, source, files)
    _check_keys(item, source, files.notes)
    if len(files.notes.mistakes) > before:
        return None
    return AwsSettings(
        region=item.region,
        endpoint_url=item.endpoint_url,
        ca_file=ca_file,
        access_key_id=item.access_key_id,
        secret_access_key=secret,
        session_token=token,
        requests_per_second=item.requests_per_second,
        burst=item.burst,
        max_in_flight=item.max_in_flight,
        timeout=timedelta(seconds=item.timeout_seconds),
    )


def roles(items: Sequence[tuple[str, RoleTable]], default_region: str | None, files: Files) -> tuple[Role, ...]:
    """Returns the roles that are right, after noting what is wrong with the others and between them."""
    seen: set[str] = set()
    for place, item in items:
        if item.arn in seen:
            mend = "join the two entries: a role has one ceiling"
            files.notes.add(f"{place}.arn", "is the same role as an earlier one", why=_ARN_WHY, mend=mend)
        seen.add(item.arn)
    made = (_role(place, item, default_region, files) for place, item in items)
    return tuple(role for role in made if role is not None)


def forbidden(item: ForbiddenTable, notes: Notes) -> tuple[ActionPattern, ...]:
    """Returns the further actions that are never issued, after noting what is no action pattern."""
    return _actions("forbidden.actions", item.actions, notes)


def _role(place: str, item: RoleTable, default_region: str | None, files: Files) -> Role | None:
    """Returns one role, or None."""
    before = len(files.notes.mistakes)
    region = item.region or default_region
    _check_role_place(place, item, region, files.notes)
    if item.assumed_by == "role_chaining" and item.max_session_seconds > CHAINED_SECONDS:
        files.notes.add(
            f"{place}.max_session_seconds",
            "is over 3600 although the role is assumed by role chaining",
            why="AWS ends a session that a role opens of another role after one hour, and refuses to be asked for more",
            mend='write 3600 or less, or `assumed_by = "web_identity"` (docs/web-identity.md), or "user" if the '
            "gateway signs with the keys of an IAM user",
        )
    ceiling = _ceiling(f"{place}.ceiling_file", item.ceiling_file, files)
    reopened = _actions(f"{place}.reopened", item.reopened, files.notes)
    _check_reopened(f"{place}.reopened", item.reopened, files.notes)
    external_id = None
    if item.external_id_file is not None:
        external_id = _external_id(f"{place}.external_id_file", item.external_id_file, files)
    if len(files.notes.mistakes) > before or ceiling is None or region is None:
        return None
    longest = timedelta(seconds=item.max_session_seconds)
    return Role(item.arn, region, ceiling, longest, external_id, reopened, AssumedBy(item.assumed_by))


def _check_role_place(place: str, item: RoleTable, region: str | None, notes: Notes) -> None:
    """Notes an ARN that is none, a region that is none, and two that are not of one partition."""
    try:
        partition = role_arn_of(item.arn).partition
    except ValueError as wrong:
        mend = 'write it whole: arn = "arn:aws:iam::111122223333:role/remit-reports"'
        notes.add(f"{place}.arn", f"is {wrong}", why=_ARN_WHY, mend=mend)
        return
    if item.region is not None and not _check_region(f"{place}.region", item.region, notes):
        return
    try:
        other = region is not None and partition_of(region) != partition
    except ValueError:
        return  # aws.region, which is noted there
    if other:
        why = "an STS endpoint knows the roles of its own partition only"
        mend = "correct the ARN's partition (arn:aws:, arn:aws-cn:, arn:aws-us-gov:), or the region"
        notes.add(f"{place}.region", "is not in the partition of the role", why=why, mend=mend)


def _ceiling(place: str, text: str, files: Files) -> Document | None:
    """Returns the role's own policy, or None after noting a mistake."""
    path = files.readable(place, text)
    if path is None:
        return None
    files.unchangeable(place, path)
    with path.open("rb") as file:
        raw = file.read(MAX_CEILING_BYTES + 1)
    mend = "copy the role's own policy as AWS shows it, in one document, without Sid and Principal"
    if len(raw) > MAX_CEILING_BYTES:
        files.notes.add(place, f"{path} is over 256 KiB", why=_CEILING_WHY, mend=mend)
        return None
    try:
        document = Document.parse(raw, authored=True)
    except MalformedPolicy as wrong:
        files.notes.add(place, f"{path} is no policy: at {wrong.path}: {wrong.rule}", why=_CEILING_WHY, mend=mend)
        return None
    if not any(statement.effect is Effect.ALLOW for statement in document.statements):
        files.notes.add(place, f"{path} allows nothing", why=_CEILING_WHY, mend=mend)
        return None
    return document


def _actions(place: str, texts: Sequence[str], notes: Notes) -> tuple[ActionPattern, ...]:
    """Returns the action patterns, after noting what is none."""
    patterns = []
    for number, text in enumerate(texts):
        try:
            patterns.append(ActionPattern.parse(text))
        except MalformedPattern as wrong:
            why = "an action that is misspelt would not be matched"
            notes.add(f"{place}[{number}]", f"is no action pattern: {wrong}", why=why, mend='write "service:Action"')
    return tuple(patterns)


def _check_reopened(place: str, texts: Sequence[str], notes: Notes) -> None:
    """Notes what may not be re-opened."""
    for number, text in enumerate(texts):
        try:
            floor(reopened=(text,))
        except ValueError as wrong:
            why = "only what hands out lasting access can be re-opened; the rest of the floor cannot be shortened"
            mend = str(wrong).partition("; not")[0]
            notes.add(f"{place}[{number}]", "is not a re-openable action of the floor", why=why, mend=mend)


def _check_region(place: str, region: str, notes: Notes) -> bool:
    """Notes what is no region; says whether it is one."""
    try:
        partition_of(region)
    except ValueError as wrong:
        why = "the STS endpoint's host name is made of it"
        notes.add(place, f"is {wrong}", why=why, mend='write one region: region = "eu-central-1"')
        return False
    return True


def check_endpoint(
    url: str, notes: Notes, place: str = "aws.endpoint_url", why: str = "session tokens come back over this connection"
) -> None:
    """Notes an endpoint that is not https (http is for loopback), or more than a host and a port."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        notes.add(place, "is not a URL", why=why, mend="write https://host or https://host:port")
        return
    if (
        not url.isascii()
        or not url.isprintable()
        or not host
        or "@" in parts.netloc
        or parts.netloc != parts.netloc.lower()
    ):
        notes.add(
            place, "must name a plain host in lower case", why=why, mend="write https://host or https://host:port"
        )
    elif parts.path not in {"", "/"} or "?" in url or "#" in url:
        notes.add(
            place, "must have no path, query or fragment", why=why, mend="write https://host or https://host:port"
        )
    elif parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        mend = "use https (aws.ca_file names a private authority); http is for a sandbox on 127.0.0.1"
        notes.add(place, "must be https, unless its host is loopback", why=why, mend=mend)


def _check_keys(item: AwsTable, source: Source, notes: Notes) -> None:
    """Notes half a set of keys."""
    has_secret = item.secret_access_key_file is not None or "aws.secret_access_key" in source.secrets
    has_token = item.session_token_file is not None or "aws.session_token" in source.secrets
    why = "keys are used whole, or the platform's own (task role, pod identity, instance profile) are"
    if item.access_key_id is not None and _ACCESS_KEY.fullmatch(item.access_key_id) is None:
        mend = "write the 20 characters that begin with AKIA or ASIA"
        notes.add("aws.access_key_id", "is no access key id", why="STS would refuse every call", mend=mend)
    if (item.access_key_id is not None) != has_secret:
        missing = "aws.secret_access_key_file" if item.access_key_id is not None else "aws.access_key_id"
        notes.add(missing, "is missing beside its other half", why=why, mend="give both, or neither")
    if has_token and item.access_key_id is None:
        notes.add("aws.session_token_file", "stands without access_key_id", why=why, mend="give all three, or none")


def _secret(place: str, file: str | None, source: Source, files: Files) -> Secret | None:
    """Returns the secret from its file or from the environment, where it is."""
    given = source.secrets.get(place)
    if file is None:
        if given is not None and not _is_one_word(given.reveal()):
            why = "the value is used exactly as it stands"
            files.notes.add(place, "in the environment is empty or has spaces", why=why, mend="set the value alone")
        return given
    if given is not None:
        why = "two sources of one secret will differ one day"
        files.notes.add(f"{place}_file", "is given although the environment gives the secret", why=why, mend="keep one")
    return files.secret(f"{place}_file", file)


def _is_one_word(text: str) -> bool:
    """Says whether the text is printable ASCII without spaces."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def _external_id(place: str, file: str, files: Files) -> Secret | None:
    """Returns the external id, or None after noting a mistake."""
    secret = files.secret(place, file)
    if secret is not None and _EXTERNAL_ID.fullmatch(secret.reveal()) is None:
        mend = "write what the trust policy's sts:ExternalId says: 2 to 1,224 of A-Z a-z 0-9 _ + = , . @ : / -"
        files.notes.add(place, "holds no external id", why="AWS would refuse the call", mend=mend)
        return None
    return secret
