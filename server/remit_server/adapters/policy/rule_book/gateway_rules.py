"""Rules about a bundle beside the configuration of the gateway that is to serve it (`--config`)."""

from typing import Final

from remit_server.adapters.policy.rule_book.kinds import advice, error

GATEWAY_RULES: Final = (
    error(
        "unknown-role",
        "The catalogue names a role that the gateway's configuration does not have",
        "Every decision that names it would be an outage, so the gateway refuses to start with the bundle",
        "Add it under [[roles]] with a copy of its own policy, or take it out of the catalogue",
    ),
    error(
        "outside-ceiling",
        "Nothing of an entitlement lies inside its role's ceiling and outside the forbidden floor",
        "Its members are told that they may, and every request of theirs is refused",
        "Correct the permissions or the role, or let the role's own policy and its ceiling_file allow them",
    ),
    advice(
        "partly-outside-ceiling",
        "A part of a permission lies outside its role's ceiling, or on the forbidden floor",
        "That part is dead weight: it is never issued, though the catalogue says so",
        "Write only what the role may do, or widen the role's own policy and its ceiling_file",
    ),
    advice(
        "ceiling-unproven",
        "Whether a permission lies inside its role's ceiling could not be proven within the budget",
        "What cannot be proven is not issued either",
        "Write fewer and simpler wildcards, or split the permission",
    ),
    advice(
        "unknown-agent",
        "An actor of an entitlement fits no agent that the gateway can meet",
        "No agent could ever use it",
        "Correct the pattern, or add the agent under [[agents]]",
    ),
    advice(
        "unknown-issuer",
        "An entitlement is for users of an identity provider that the gateway does not take users from",
        "None of those users can ever reach it",
        "Write the issuer's URL exactly as under [[issuers]], or add it there",
    ),
    advice(
        "unknown-group",
        "by_group names a group that no configured identity provider can give anybody",
        "Nobody is in it",
        "Correct the name, or add it to group_map or group_members",
    ),
    advice(
        "role-lifetime",
        "max_credential_seconds is longer than the role's sessions may be",
        "The longer time is never given",
        "Write at most max_session_seconds of the role",
    ),
)
