"""The checks: what is asked that must be refused, and by which part of the gateway."""

from typing import Final

from remit_server.application.probing.values import Check, Stage, Wrong

FORGED: Final = Check(
    "forged_signature", Wrong.IDENTITY, Stage.SUBJECT, "the right issuer, key id and claims, signed by another key"
)
OWN_KEY: Final = Check(
    "key_in_header", Wrong.IDENTITY, Stage.SUBJECT, "a token that brings the key that signed it, in its own header"
)
UNSIGNED: Final = Check("unsigned", Wrong.IDENTITY, Stage.SUBJECT, 'the right claims with "alg": "none"')
ALTERED: Final = Check("altered_claims", Wrong.IDENTITY, Stage.SUBJECT, "a genuine signature below another user's name")
EXPIRED: Final = Check("expired", Wrong.IDENTITY, Stage.SUBJECT, "a genuine token whose time is up")
ELSEWHERE: Final = Check("other_audience", Wrong.IDENTITY, Stage.SUBJECT, "a genuine token for another service")
NO_PROOF: Final = Check("no_agent", Wrong.AGENT, Stage.ACTOR, "a caller that does not say who it is")
IMPOSTOR: Final = Check(
    "forged_agent", Wrong.AGENT, Stage.ACTOR, "the agent's name in a certificate or token that the prober made itself"
)
UNBOUND: Final = Check("unbound_agent", Wrong.AGENT, Stage.BINDING, "a user's token that was given to another agent")
WIDE: Final = Check("wide_intent", Wrong.INTENT, Stage.CEILING, "to read every object of every bucket")
FLOOR: Final = Check("floor_intent", Wrong.INTENT, Stage.CEILING, "an action that is never issued to anybody")

CHECKS: Final = (FORGED, OWN_KEY, UNSIGNED, ALTERED, EXPIRED, ELSEWHERE, NO_PROOF, IMPOSTOR, UNBOUND, WIDE, FLOOR)
# NOTE: nothing of the floor is in it, so that policy and ceiling alone can stop it.
WIDE_INTENT: Final = ("s3:GetObject", "arn:aws:s3:::*")
FLOOR_INTENT: Final = ("iam:CreateAccessKey", "*")
