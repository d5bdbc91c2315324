"""Makes the settings of issuers and agents out of `[[issuers]]` and `[[agents]]`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from remit_server.config.files import Files
from remit_server.config.identity_rules import InvalidSettings, client_alias
from remit_server.config.identity_settings import AgentSettings, Binding, ClaimProfile, IssuerSettings
from remit_server.config.mistakes import Notes
from remit_server.config.shapes import AgentTable, IssuerTable, MutualListenerTable
from remit_server.domain.spiffe_id import spiffe_id_of

_SECONDS: Final = {"max_lifetime", "leeway", "key_set_max_age", "key_set_stale_limit"}
_ADVICE: Final = {
    "issuer": ("tokens are routed and trusted by this exact text", "copy `issuer` from its discovery document"),
    "alias": ("it stands in SourceIdentity, where AWS takes few characters", 'write a short name, such as "acme"'),
    "algorithms": (
        "an algorithm with a shared key lets everyone who has the public key sign (CVE-2026-48526)",
        'name what the issuer signs with, mostly ["RS256"] or ["ES256"]',
    ),
    "allowed_hosts": ("keys are asked for at listed hosts only, so that nobody can send the gateway elsewhere", ""),
    "key_set_url": ("whoever can change the keys can be anyone", "use https, and list a foreign host in allowed_hosts"),
    "client_ids": ("two issuers may each have a client of one name, and only one of them is meant", ""),
    "binding": ("a user's token must have been given to the very agent that presents it", ""),
    "tenants": ("an issuer that signs for everybody would let in everybody", "name your own organisation's"),
    "events": ("who can start a workflow decides what it does with its credentials", "name events of your own people"),
    "group_members": ("a member that could be read in two ways could be somebody else", ""),
    "carries_actor": ("the claim that names the actor must be one that nobody else can have", ""),
    "id": ("policies and records name the agent by it", 'write a plain name, such as "copilot"'),
    "spiffe_id": ("an agent proves itself in exactly one way", "give spiffe_id, or issuer and subject"),
    "subject": ("an agent proves itself in exactly one way", "give spiffe_id, or issuer and subject"),
}
_GENERAL: Final = ("a wrong value here would let in tokens that should not pass, or none", "see docs/configuration.md")


def issuers(items: Sequence[tuple[str, IssuerTable]], files: Files) -> tuple[IssuerSettings, ...]:
    """Returns the issuers that are right, after noting what is wrong with the others and between them."""
    made = [(place, _issuer(place, item, files)) for place, item in items]
    _note_twice(files.notes, ((f"{place}.issuer", item.issuer) for place, item in items), "issuer")
    _note_twice(files.notes, ((f"{place}.alias", item.alias) for place, item in items), "alias")
    right = tuple(settings for _, settings in made if settings is not None)
    if len(right) == len(items) > 0 and not any(settings.subjects for settings in right):
        files.notes.add(
            "issuers",
            "no issuer has `subjects = true`",
            why="every task is on behalf of a user: without one nothing is ever issued",
            mend="add the issuer of your users' tokens",
        )
    return right


def agents(
    items: Sequence[tuple[str, AgentTable]],
    known: Sequence[tuple[str, IssuerTable]],
    mtls: MutualListenerTable | None,
    *,
    bearer: bool,
    notes: Notes,
) -> tuple[AgentSettings, ...]:
    """Returns the agents that are right, after noting what is wrong with the others and between them."""
    _note_twice(notes, ((f"{place}.id", item.id) for place, item in items), "id")
    _note_twice(notes, ((f"{place}.spiffe_id", item.spiffe_id) for place, item in items), "spiffe_id")
    pairs = ((f"{place}.subject", (item.issuer, item.subject)) for place, item in items if item.issuer and item.subject)
    _note_twice(notes, pairs, "pair of issuer and subject")
    if not items and not any(issuer.carries_actor for _, issuer in known):
        why = "an agent that no entry names is refused"
        notes.add("agents", "is missing", why=why, mend="add [[agents]], or an issuer with carries_actor")
    for place, item in items:
        _check_clients(place, item.client_ids, known, notes)
        if item.issuer is not None:
            _check_oidc_agent(place, item.issuer, known, bearer=bearer, notes=notes)
        elif item.spiffe_id is not None:
            _check_spiffe_agent(place, item.spiffe_id, mtls, notes)
    made = (_agent(place, item, notes) for place, item in items)
    return tuple(agent for agent in made if agent is not None)


def _issuer(place: str, item: IssuerTable, files: Files) -> IssuerSettings | None:
    """Returns the settings of one issuer, or None."""
    values = item.model_dump()
    values |= {name: timedelta(seconds=values.pop(f"{name}_seconds")) for name in _SECONDS}
    host = urlsplit_host(item.issuer)
    ca_file = files.authorities(f"{place}.ca_file", item.ca_file) if item.ca_file is not None else None
    values |= {
        "algorithms": tuple(item.algorithms),
        "profile": ClaimProfile(item.profile),
        "binding": Binding(item.binding),
        "allowed_hosts": frozenset(item.allowed_hosts) | ({host} if host else frozenset()),
        "ca_file": ca_file,
        "group_map": tuple(sorted(item.group_map.items())),
        "group_members": tuple((group, tuple(members)) for group, members in sorted(item.group_members.items())),
        "tenants": frozenset(item.tenants),
        "events": tuple(item.events),
        "kept_claims": tuple(item.kept_claims),
        "source_identity_hashed": values.pop("source_identity") == "hash",
    }
    try:
        settings = IssuerSettings(**values)
    except InvalidSettings as wrong:
        _note_invalid(files.notes, place, wrong)
        return None
    return settings if item.ca_file is None or ca_file is not None else None


def urlsplit_host(url: str) -> str | None:
    """Returns the host of a URL in lower case, or None when it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _agent(place: str, item: AgentTable, notes: Notes) -> AgentSettings | None:
    """Returns the settings of one agent, or None."""
    clients = frozenset(client for client in item.client_ids if client_alias(client))  # the others are noted by place
    try:
        return AgentSettings(item.id, item.spiffe_id, item.issuer, item.subject, clients)
    except InvalidSettings as wrong:
        _note_invalid(notes, place, wrong)
        return None


def _check_clients(place: str, clients: Sequence[str], known: Sequence[tuple[str, IssuerTable]], notes: Notes) -> None:
    """Notes each client whose users' tokens the agent could never present, and each that names no issuer."""
    subjects = {item.alias: item.subjects for _, item in known}
    usable = [alias for alias, is_usable in subjects.items() if is_usable]
    why = "a client id means something only with its issuer: another issuer may have a client of the same name"
    for position, client in enumerate(clients):
        alias = client_alias(client)
        if alias in usable:
            continue
        if alias not in subjects:
            problem = "names no issuer of [[issuers]]"
            mend = f'write "<issuer alias>:<client id>"; the aliases are {", ".join(usable) or "still to be given"}'
        else:
            problem = "is a client of an issuer whose tokens are not taken as users'"
            mend = "leave it out, or set `subjects = true` at that issuer"
        notes.add(f"{place}.client_ids[{position}]", problem, why=why, mend=mend)


def _check_oidc_agent(
    place: str, issuer: str, known: Sequence[tuple[str, IssuerTable]], *, bearer: bool, notes: Notes
) -> None:
    """Notes when an agent's own token could never be taken."""
    taken = {item.issuer: item.actors or item.carries_actor is not None for _, item in known}
    why = "the agent could never authenticate"
    if issuer not in taken:
        mend = "copy `issuer` from one of [[issuers]]"
        notes.add(f"{place}.issuer", "is not the issuer of any [[issuers]]", why=why, mend=mend)
    elif not taken[issuer]:
        problem = "is an issuer whose tokens are not taken as an agent's own"
        notes.add(f"{place}.issuer", problem, why=why, mend="set `actors = true` at that issuer")
    if not bearer:
        mend = "add [listen.bearer], or give the agent a spiffe_id"
        notes.add(f"{place}.issuer", "there is no [listen.bearer]", why=why, mend=mend)


def _check_spiffe_agent(place: str, spiffe_id: str, mtls: MutualListenerTable | None, notes: Notes) -> None:
    """Notes when an agent's certificate could never be taken."""
    why = "the agent could never authenticate"
    if mtls is None:
        mend = "add [listen.mtls], or give the agent issuer and subject"
        notes.add(f"{place}.spiffe_id", "there is no [listen.mtls]", why=why, mend=mend)
        return
    try:
        trust_domain = spiffe_id_of(spiffe_id).trust_domain
    except ValueError:
        return  # noted with the agent's own settings
    if trust_domain not in mtls.trust_domains:
        mend = "add the trust domain to listen.mtls.trust_domains, or correct the SPIFFE ID"
        notes.add(f"{place}.spiffe_id", "is of a trust domain that is not taken", why=why, mend=mend)


def _note_invalid(notes: Notes, place: str, wrong: InvalidSettings) -> None:
    """Notes every mistake that the settings themselves found."""
    for name, problem in wrong.mistakes:
        why, mend = _ADVICE.get(name, _GENERAL)
        key = f"{name}_seconds" if name in _SECONDS else name
        notes.add(f"{place}.{key}", problem, why=why, mend=mend or "see docs/configuration.md")


def _note_twice(notes: Notes, values: Iterable[tuple[str, object]], what: str) -> None:
    """Notes every place but the first that has a value again."""
    seen: Counter[object] = Counter()
    for place, value in values:
        seen[value] += value is not None
        if value is not None and seen[value] > 1:
            why = "each token, certificate and record must have one reading"
            notes.add(
                place, f"is the same {what} as an earlier one", why=why, mend="join the two entries, or correct one"
            )
