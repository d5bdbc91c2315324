"""The proof that a sealed form says what it was made of: read back from its text, and held against that both ways."""

from collections.abc import Sequence
from dataclasses import replace

from remit_server.iam.containment.implication import excludes
from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Purse, Witness
from remit_server.iam.issuing.cells import DIRECT_CALL, EVERY_ACTION, EVERY_RESOURCE
from remit_server.iam.issuing.dense.reading import listed
from remit_server.iam.issuing.dense.sealed import Sealed
from remit_server.iam.issuing.merging import Fact
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement

_ANYTHING = Statement(Effect.ALLOW, EVERY_ACTION, EVERY_RESOURCE)


def is_proven_equal(form: Sealed, facts: Sequence[Fact], purse: Purse) -> bool:
    """Says whether a sealed form is proven to allow what the facts do, whoever calls and whoever names the session.

    It allows nothing else; its Denies take nothing of it away, but for the guards of conditions, which are built as in
    the plain form; its readers read the same from it; and a policy that names the session adds nothing to direct calls.
    """
    written = Document.parse(Document(form.statements).text, authored=True)
    granted = Document(tuple([fact.statement for fact in facts]))
    read = Document(listed(written.statements))
    taking_away = Document(tuple([each for each in written.statements if not _is_spared(each, form, facts)]))
    pairs = (
        (written, granted),
        (granted, taking_away),
        (read, granted),
        (granted, read),
        (_when_named(written), Document(form.at_most)),
    )
    return all(isinstance(contains(one, other, budget=purse), Witness) for one, other in pairs)


def _is_spared(statement: Statement, form: Sealed, facts: Sequence[Fact]) -> bool:
    """Says whether a statement guards a condition, or is a Deny that is about no fact or excluded by its conditions.

    Left out here, and not by containment: a policy within another one takes over the Denies that are not left out.
    """
    if statement in form.guards:
        return True
    return statement.effect is Effect.DENY and all(
        not (statement.touches_action(fact.action) and statement.touches_resource(fact.resource))
        or excludes(fact.conditions, statement.conditions)
        for fact in facts
    )


def _when_named(session: Document) -> Document:
    """Returns what direct calls may do when another policy allows the session everything."""
    denials = [
        replace(each, conditions=tuple([one for one in each.conditions if one != DIRECT_CALL]))
        for each in session.statements
        if each.effect is Effect.DENY
    ]
    return Document((_ANYTHING, *denials))
