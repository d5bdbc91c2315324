"""The revocation policies at AWS IAM (the port `RevocationPolicies`): read, written as new versions, tidied."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from remit_server.adapters.aws.revoking.query import Answer, CallFailed, QueryCalls, iam_of
from remit_server.adapters.aws.revoking.revoker import AccountPlace, RevokerKeys
from remit_server.application.revocation.ports import NotWritten

KEPT_VERSIONS: Final = 3  # the one in force and two before it, for whoever looks into what was
_STALE_KEYS: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidToken"})
_WORDS: Final = {
    "NoSuchEntity": "it does not exist: run `remit-server aws plan` and apply what it writes",
    "AccessDenied": (
        "remit-revoker may not: its policy must allow iam:GetPolicy, iam:GetPolicyVersion, iam:ListPolicyVersions, "
        "iam:CreatePolicyVersion and iam:DeletePolicyVersion on it, and no service control policy may forbid them; "
        "`remit-server aws doctor` checks that"
    ),
    "LimitExceeded": "it has five versions, or its text is too long, although old versions were deleted",
    "MalformedPolicyDocument": "AWS does not read its text",
    "Throttling": "AWS is limiting this account's calls to IAM",
    "ThrottlingException": "AWS is limiting this account's calls to IAM",
}


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a policy: `v7`, and whether it is the one in force."""

    name: str
    in_force: bool

    @property
    def number(self) -> int:
        """Its place among the versions: higher is younger."""
        digits = self.name.removeprefix("v").partition(".")[0]
        return int(digits) if digits.isascii() and digits.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class IamRevocationPolicies:
    """Speaks with IAM by the keys of `remit-revoker`; `url` is only for AWS-compatible endpoints."""

    places: Mapping[str, AccountPlace]
    calls: QueryCalls
    keys: RevokerKeys
    url: str | None = None

    def name(self, account: str, place: int, /) -> str:
        """Returns the ARN of a policy."""
        return self._place(account).policy_arns[place]

    async def read(self, account: str, /, *, deadline: float) -> tuple[str | None, ...]:
        """Returns the text in force of each policy; None for one that does not exist."""
        arns = self._place(account).policy_arns
        return tuple(await asyncio.gather(*(self._read_one(account, arn, deadline) for arn in arns)))

    async def write(self, account: str, place: int, text: str, /, *, deadline: float) -> None:
        """Makes a new version the one in force; where there are five, deletes the oldest first."""
        arn = self._place(account).policy_arns[place]
        parameters = {"PolicyDocument": text, "SetAsDefault": "true"}
        try:
            await self._call(account, "CreatePolicyVersion", arn, parameters, deadline)
        except CallFailed as failed:
            if failed.code != "LimitExceeded":
                raise _not_written(arn, failed) from failed
            await self._delete_oldest(account, arn, KEPT_VERSIONS - 1, deadline)
            await self._told(account, "CreatePolicyVersion", arn, parameters, deadline)

    async def tidy(self, account: str, place: int, /, *, deadline: float) -> None:
        """Deletes all but the three youngest versions, never the one in force."""
        await self._delete_oldest(account, self._place(account).policy_arns[place], KEPT_VERSIONS, deadline)

    def _place(self, account: str) -> AccountPlace:
        """Returns where an account's policies are; raises NotWritten for one that no configured role is of."""
        place = self.places.get(account)
        if place is None:
            why = "no role of the configuration is in this account any more, so it cannot be told who is revoked there"
            raise NotWritten(f"{why}: put one back until the credentials that are out have ended")
        return place

    async def _read_one(self, account: str, arn: str, deadline: float) -> str | None:
        try:
            policy = await self._call(account, "GetPolicy", arn, {}, deadline)
        except CallFailed as failed:
            if failed.code == "NoSuchEntity":
                return None
            raise _not_written(arn, failed) from failed
        version = policy.one("Policy/DefaultVersionId") or ""
        answer = await self._told(account, "GetPolicyVersion", arn, {"VersionId": version}, deadline)
        return unquote(answer.one("PolicyVersion/Document") or "")

    async def _delete_oldest(self, account: str, arn: str, kept: int, deadline: float) -> None:
        """Deletes the oldest versions that are not in force, so that at most `kept` are left."""
        answer = await self._told(account, "ListPolicyVersions", arn, {}, deadline)
        versions = _versions(answer)
        idle = sorted((version for version in versions if not version.in_force), key=lambda version: version.number)
        for version in idle[: max(0, len(versions) - kept)]:
            await self._told(account, "DeletePolicyVersion", arn, {"VersionId": version.name}, deadline)

    async def _told(
        self, account: str, action: str, arn: str, parameters: Mapping[str, str], deadline: float
    ) -> Answer:
        """Returns the answer; raises NotWritten."""
        try:
            return await self._call(account, action, arn, parameters, deadline)
        except CallFailed as failed:
            raise _not_written(arn, failed) from failed

    async def _call(
        self, account: str, action: str, arn: str, parameters: Mapping[str, str], deadline: float
    ) -> Answer:
        """Returns the answer; raises CallFailed, and NotWritten when there are no keys."""
        place = self._place(account)
        keys = await self.keys(account, deadline=deadline)
        service = iam_of(place.region, self.url)
        try:
            return await self.calls(service, action, {"PolicyArn": arn, **parameters}, keys, deadline=deadline)
        except CallFailed as failed:
            if failed.code in _STALE_KEYS:
                self.keys.distrust(account)
            raise


def _versions(answer: Answer) -> list[_Version]:
    """Returns the versions of a listing; a policy has five at most, which is one page."""
    names = answer.every("member/VersionId")
    flags = answer.every("member/IsDefaultVersion")
    return [_Version(name, flag == "true") for name, flag in zip(names, flags, strict=True)]


def _not_written(arn: str, failed: CallFailed) -> NotWritten:
    """Returns the failure in words for the log and the operator."""
    words = _WORDS.get(failed.code)
    return NotWritten(f"{arn}: {failed}" + (f": {words}" if words else ""))
