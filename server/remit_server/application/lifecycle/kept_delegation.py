"""Who a grant's subject was when it was last decided about: what is known of a user who is not there."""

import json

from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, Delegation, Principal


def kept_delegation(text: str, grant: Grant, actor: Actor) -> Delegation:
    """Returns the delegation that the kept question of a grant tells of, with the actor as it is now.

    NOTE: groups and claims are as of then. Its token counts as old as the grant, so that a revoke since refuses it.
    """
    kept = json.loads(text)
    subject = kept["subject"]
    if (subject["issuer"], subject["id"]) != (grant.subject_issuer, grant.subject_id):
        raise AssertionError("the question that was kept for a grant is about another subject")
    return Delegation(
        subject=Principal(
            issuer=subject["issuer"],
            alias="",
            subject=subject["id"],
            source_id="",
            groups=tuple(subject["groups"]),
            email=subject["email"] or None,
            auth_time=subject["auth_time"] or None,
            acr=subject["acr"] or None,
            amr=tuple(subject["amr"]),
            claims=subject["claims"],
        ),
        actor=actor,
        token_fingerprint="",
        token_issue_time=grant.issue_time,
        token_expire_time=grant.expire_time,
        history=tuple(kept["delegation_history"]),
    )


def needs_the_user(why: str) -> Denied:
    """Returns the refusal of a renewal for which the user has to be there."""
    return Denied(Reason.SUBJECT_TOKEN_REJECTED, f"{why}: send a live subject token", Refusal(Remedy.REAUTHENTICATE))
