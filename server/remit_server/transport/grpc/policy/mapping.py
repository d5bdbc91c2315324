"""Policy revisions as the API writes them."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from remit.v1 import policy_service_pb2 as messages
from remit_server.application.oversight.paging import Page
from remit_server.application.policy.ports import Activated, Examined
from remit_server.application.policy.replaying.replay_revision import ReplayRequest
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.report_json import report_text
from remit_server.application.policy.replaying.running import Progress
from remit_server.application.policy.revisions.activate_revision import ActivationRequest
from remit_server.application.policy.revisions.publish_revision import Published
from remit_server.application.policy.revisions.see_revisions import CHUNK, Shown
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.operator import Operator
from remit_server.domain.policy_revision import (
    Activation,
    ActivationKind,
    PublishedRevision,
    RevisionSource,
    Shadow,
    ShadowCount,
)
from remit_server.transport.grpc.status import finding_message

MOST_FINDINGS: Final = 1000
SINCE: Final = timedelta(days=30)
MOST_REPLAYED: Final = 100_000
_SOURCES: Final = {
    RevisionSource.OPERATOR: messages.REVISION_SOURCE_OPERATOR,
    RevisionSource.FOLDER: messages.REVISION_SOURCE_FOLDER,
    RevisionSource.SERVER: messages.REVISION_SOURCE_SERVER,
    RevisionSource.OFFLINE: messages.REVISION_SOURCE_OFFLINE,
}
_KINDS: Final = {
    ActivationKind.ADOPTED: messages.ACTIVATION_KIND_ADOPTED,
    ActivationKind.ACTIVATED: messages.ACTIVATION_KIND_ACTIVATED,
    ActivationKind.ROLLED_BACK: messages.ACTIVATION_KIND_ROLLED_BACK,
}


def check_response(examined: Examined) -> messages.CheckRevisionResponse:
    """Writes what a check found."""
    return messages.CheckRevisionResponse(
        revision=examined.revision,
        publishable=examined.new is not None,
        findings=[finding_message(finding) for finding in examined.findings[:MOST_FINDINGS]],
    )


def publish_response(published: Published, *, active: bool) -> messages.PublishRevisionResponse:
    """Writes what was published."""
    return messages.PublishRevisionResponse(
        revision=revision_message(published.revision, active=active),
        created=published.created,
        advice=[finding_message(finding) for finding in published.advice[:MOST_FINDINGS]],
    )


def list_response(page: Page[Shown]) -> messages.ListRevisionsResponse:
    """Writes a page of revisions."""
    return messages.ListRevisionsResponse(
        revisions=[revision_message(one.revision, active=one.active, block=one.block) for one in page.items],
        next_page_token=page.next_token,
    )


def get_response(shown: Shown) -> messages.GetRevisionResponse:
    """Writes a revision with its activations."""
    return messages.GetRevisionResponse(
        revision=revision_message(shown.revision, active=shown.active, block=shown.block),
        activations=[activation_message(one) for one in shown.activations],
        rollback_revision=shown.rollback,
    )


def revision_message(published: PublishedRevision, *, active: bool, block: str = "") -> messages.PolicyRevision:
    """Writes a revision."""
    facts = published.facts
    return messages.PolicyRevision(
        revision=facts.revision,
        publish_time=_time(published.publish_time),
        publisher=published.publisher,
        source=_SOURCES[published.source],
        size=facts.size,
        built_time=None if facts.built_time is None else _time(facts.built_time),
        signed_by=facts.signed_by,
        rule_files=facts.rule_files,
        capabilities=facts.capabilities,
        entitlements=facts.entitlements,
        active=active,
        block=f"blocks/{block}" if block else "",
    )


def activation_message(activation: Activation) -> messages.PolicyActivation:
    """Writes an activation."""
    return messages.PolicyActivation(
        number=activation.number,
        revision=activation.revision,
        kind=_KINDS[activation.kind],
        time=_time(activation.time),
        by=activation.by,
        why=activation.why,
        revocation=activation.revocation_id or "",
    )


def activation_request(message: messages.ActivateRevisionRequest, operator: Operator) -> ActivationRequest:
    """Reads what is to be activated; raises InvalidRequest."""
    if not message.why.isprintable():
        raise InvalidRequest([FieldViolation("why", "must be one line without control characters")])
    if not message.revision and not message.rollback:
        raise InvalidRequest([FieldViolation("revision", "is required, unless rollback is set")])
    return ActivationRequest(
        operator=operator,
        digits=message.revision,
        why=message.why,
        revoke_issued=message.revoke_issued,
        expected_active=message.expected_active,
        back=message.rollback,
    )


def activate_response(activated: Activated) -> messages.ActivateRevisionResponse:
    """Writes what an activation did."""
    return messages.ActivateRevisionResponse(
        activation=activation_message(activated.activation),
        previous_revision=activated.previous,
        revoked_grants=activated.revoked_grants,
    )


def replay_request(message: messages.ReplayRevisionRequest, operator: Operator) -> ReplayRequest:
    """Reads which candidate is to be replayed on what."""
    since = message.since.ToTimedelta() or SINCE
    return ReplayRequest(operator, message.revision, since, message.most or MOST_REPLAYED)


def replay_responses(outcome: Progress | Report) -> Iterator[messages.ReplayRevisionResponse]:
    """Writes progress, or the report in its pieces."""
    if isinstance(outcome, Progress):
        yield messages.ReplayRevisionResponse(done=outcome.done, total=outcome.total)
        return
    text = report_text(outcome).encode()
    for start in range(0, len(text), CHUNK):
        yield messages.ReplayRevisionResponse(report_chunk=text[start : start + CHUNK])


def shadow_response(shadow: Shadow | None) -> messages.GetShadowResponse:
    """Writes what was counted of a candidate."""
    if shadow is None:
        return messages.GetShadowResponse()
    start = None if shadow.start_time is None else _time(shadow.start_time)
    return messages.GetShadowResponse(revision=shadow.revision, start_time=start, counts=list(_counts(shadow.counts)))


def _counts(counts: Iterable[ShadowCount]) -> Iterable[messages.ShadowCount]:
    for one in counts:
        yield messages.ShadowCount(
            active_revision=one.active,
            difference=one.difference,
            count=one.count,
            example=one.example,
            first_time=_time(one.first_time),
            last_time=_time(one.last_time),
        )


def _time(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message
