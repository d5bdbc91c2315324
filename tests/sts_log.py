"""The log of every request for a session that this test run's gateways send, for invariant I3 (8-threats.md).

It is written by whoever receives a request (the fake STS, the relay before the local AWS, the scripted port), never by
the gateway: one JSON line a request, one file for each xdist worker. No token, signature or external id enters it.
"""

import base64
import json
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a test's configuration lets a role be used for: its own policy, and what of the floor it re-opens."""

    policy: str
    reopened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as it was received. `deliberate` marks one that a test sent by itself and that was refused."""

    test: str
    role_arn: str
    session_name: str
    policy: str
    source_identity: str
    tags: Mapping[str, str]
    duration_seconds: str
    outcome: str
    time: str
    ceiling: str | None
    reopened: tuple[str, ...] = ()
    deliberate: bool = False

    @classmethod
    def parse(cls, line: str) -> Self:
        """Reads a line of the log."""
        fields = json.loads(line)
        return cls(**{**fields, "reopened": tuple(fields["reopened"])})


def tags_in(form: Mapping[str, str]) -> dict[str, str]:
    """Returns the session tags of a form, as they are."""
    keys = {name: value for name, value in form.items() if name.startswith("Tags.member.") and name.endswith(".Key")}
    return {key: form.get(name.removesuffix("Key") + "Value", "") for name, key in keys.items()}


def with_claims(form: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the form as AssumeRole would have it: what a web identity token claims stands among the parameters.

    The token's signature is the concern of whoever received it; the token itself is left out.
    """
    token = form.get("WebIdentityToken")
    if token is None:
        return form
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        tags = claims.get("https://aws.amazon.com/tags", {"principal_tags": {}})["principal_tags"]
        found = {"SourceIdentity": claims["https://aws.amazon.com/source_identity"]}
        for number, (key, (value,)) in enumerate(tags.items(), start=1):
            found |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    except (ValueError, TypeError, LookupError):
        found = {}  # whoever proves the requests again misses what is not there
    return {**{name: value for name, value in form.items() if name != "WebIdentityToken"}, **found}


def running_test() -> str:
    """Returns the name of the test that runs, as pytest tells it to the whole process."""
    return os.environ.get("PYTEST_CURRENT_TEST", "outside of any test").partition(" (")[0]


@dataclass(slots=True)
class StsLog:
    """Appends to the file at `path`; until it is set nothing is kept (a benchmark needs no proof)."""

    path: Path | None = None
    _ceilings: dict[tuple[str, str], Ceiling] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def configure(self, role_arn: str, ceiling: Ceiling) -> None:
        """Remembers what the running test's configuration gives this role."""
        self._ceilings[running_test(), role_arn] = ceiling

    def note(
        self,
        form: Mapping[str, str],
        *,
        outcome: str,
        at: datetime | None = None,
        ceiling: Ceiling | None = None,
        deliberate: bool = False,
    ) -> None:
        """Writes one request down; the ceiling is the running test's for this role unless given."""
        if self.path is None:
            return
        form = with_claims(form)
        arn = form.get("RoleArn", "")
        found = ceiling or self._ceilings.get((running_test(), arn))
        entry = LoggedRequest(
            test=running_test(),
            role_arn=arn,
            session_name=form.get("RoleSessionName", ""),
            policy=form.get("Policy", ""),
            source_identity=form.get("SourceIdentity", ""),
            tags=tags_in(form),
            duration_seconds=form.get("DurationSeconds", ""),
            outcome=outcome,
            time=(at or datetime.now(UTC)).isoformat(),
            ceiling=found.policy if found else None,
            reopened=found.reopened if found else (),
            deliberate=deliberate,
        )
        with self._lock, self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(entry)) + "\n")

    def requests(self) -> list[LoggedRequest]:
        """Returns everything that was written down."""
        if self.path is None or not self.path.is_file():
            return []
        return [LoggedRequest.parse(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def tests_that_sent(requests: Collection[LoggedRequest]) -> list[str]:
    """Returns the names of the tests behind these requests, each once."""
    return sorted({request.test for request in requests})


LOG = StsLog()
