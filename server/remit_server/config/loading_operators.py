"""Checks who may be an operator: the audiences of their tokens, and the principals of `[administrators]`."""

from collections.abc import Sequence

from remit_server.config.identity_rules import is_plain_text
from remit_server.config.mistakes import Notes
from remit_server.config.shapes import AdministratorTable, AgentTable, IssuerTable, MutualListenerTable
from remit_server.domain.spiffe_id import spiffe_id_of

_SPIFFE = "spiffe://"


def administrators(
    item: AdministratorTable | None,
    issuers: Sequence[tuple[str, IssuerTable]],
    agents: Sequence[tuple[str, AgentTable]],
    mtls: MutualListenerTable | None,
    notes: Notes,
) -> frozenset[str]:
    """Returns the names of the administrators, after noting each that nobody could have or that an agent has.

    What is wrong with the audiences that operators have is noted, too.
    """
    _check_audiences(issuers, notes)
    names = item.principals if item is not None else []
    for position, name in enumerate(names):
        place = f"administrators.principals[{position}]"
        problem = _spiffe_problem(name, agents, mtls) if name.startswith(_SPIFFE) else _problem(name, issuers, agents)
        if problem:
            why = "whoever is named here may always revoke and verify, so each name must be exactly one operator's"
            mend = 'write "<issuer alias>:<subject>" or the SPIFFE ID of an operator; see docs/operators.md'
            notes.add(place, problem, why=why, mend=mend)
    return frozenset(names)


def _check_audiences(items: Sequence[tuple[str, IssuerTable]], notes: Notes) -> None:
    """Notes each operators' audience that is also the audience of tokens that agents hold."""
    held = {item.audience for _, item in items}
    for place, item in items:
        if item.operator_audience in held:
            notes.add(
                f"{place}.operator_audience",
                "is also the `audience` of an issuer",
                why="agents hold tokens with that audience, and could act as the security side by them",
                mend="register a client or an application of its own for operators (docs/operators.md)",
            )


def _spiffe_problem(name: str, agents: Sequence[tuple[str, AgentTable]], mtls: MutualListenerTable | None) -> str:
    """Returns what is wrong with a workload's name, empty when nothing is."""
    try:
        trust_domain = spiffe_id_of(name).trust_domain
    except ValueError as wrong:
        return str(wrong)
    if mtls is None or trust_domain not in mtls.trust_domains:
        return "is of a trust domain that is not taken"
    return "is an agent's SPIFFE ID" if any(agent.spiffe_id == name for _, agent in agents) else ""


def _problem(name: str, issuers: Sequence[tuple[str, IssuerTable]], agents: Sequence[tuple[str, AgentTable]]) -> str:
    """Returns what is wrong with the name of somebody with a token, empty when nothing is."""
    alias, colon, subject = name.partition(":")
    if not colon or not is_plain_text(subject):
        return "is neither `<issuer alias>:<subject>` nor a SPIFFE ID"
    issuer = next((item for _, item in issuers if item.alias == alias), None)
    if issuer is None or issuer.operator_audience is None:
        return "names no issuer that has an operator_audience"
    if any((agent.issuer, agent.subject) == (issuer.issuer, subject) for _, agent in agents):
        return "is an agent"
    return ""
