/** Messages to values: the edge at which protobuf stops. */

import { isFieldSet } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { ApprovalPending, type FailedPermission, GatewayFailure, Remedy } from "../errors.js";
import type * as service from "../gen/remit/v1/credential_service_pb.js";
import { TaskEventKind as EventKinds } from "../gen/remit/v1/credential_service_pb.js";
import type * as types from "../gen/remit/v1/types_pb.js";
import { GrantState, PolicySizeSchema, Remedy as Remedies, RevokeCause } from "../gen/remit/v1/types_pb.js";
import {
  Credentials,
  type Decision,
  type DelegatedTask,
  type Grant,
  type Identity,
  type Issued,
  type PolicySize,
  type Preview,
  type TaskEnd,
  type TaskEvent,
  WouldRefuse,
} from "../grant.js";
import { Condition, Permission } from "../intent.js";

/** Furthest a Date reaches from 1970, in seconds. */
const FURTHEST = 8_640_000_000_000n;

/** Reads what was issued, or what people have to approve first; throws GatewayFailure for an answer that is not whole. */
export function issued(response: service.IssueCredentialsResponse, requestId: string): Issued | ApprovalPending {
  const isPending = response.grant?.state === GrantState.PENDING_APPROVAL;
  return isPending ? pending(response.approval, response.grant?.taskId ?? "", requestId) : whole(response, requestId);
}

/** Reads a grant with its credentials; throws GatewayFailure for an answer that is not whole. */
export function whole(
  response: { readonly grant?: types.Grant | undefined; readonly credentials?: types.AwsCredentials | undefined },
  requestId: string | undefined,
): Issued {
  const grant = readGrant(response.grant, requestId);
  const given = response.credentials;
  if (!given?.accessKeyId || !given.secretAccessKey || !given.sessionToken) {
    throw notUnderstood("credentials that are not whole", requestId);
  }
  const credentials = new Credentials(
    given.accessKeyId,
    given.secretAccessKey,
    given.sessionToken,
    neededTime(given.expireTime, "expire_time", requestId),
    given.region || undefined,
  );
  return { grant, credentials, issueTime: grant.issuances.at(-1)?.issueTime ?? grant.issueTime };
}

/** Reads a preview; throws GatewayFailure for an outcome that this version does not know. */
export function preview(response: service.PreviewCredentialsResponse): Preview {
  switch (response.outcome.case) {
    case "wouldIssue": {
      const yes = response.outcome.value;
      return {
        outcome: "would_issue",
        sessionPolicy: yes.sessionPolicy,
        sessionPolicyDigest: yes.sessionPolicyDigest,
        size: size(yes.size),
        roleArn: yes.roleArn,
        entitlements: yes.entitlements,
        policyRevision: yes.policyRevision,
        expireTime: neededTime(yes.expireTime, "expire_time", undefined),
        needsApproval: yes.needsApproval,
      };
    }
    case "wouldRefuse":
      return refusal(response.outcome.value);
    default:
      throw notUnderstood("a preview of an unknown kind", undefined);
  }
}

/** Reads what an earlier request came to. */
export function decision(response: service.GetDecisionResponse, requestId: string): Decision {
  switch (response.outcome.case) {
    case "grant":
      return { outcome: "grant", grant: readGrant(response.outcome.value, requestId) };
    case "refusal":
      return refusal(response.outcome.value);
    default:
      throw notUnderstood("a decision of an unknown kind", requestId);
  }
}

/** Reads who is calling. */
export function identity(response: service.GetCallerIdentityResponse): Identity {
  const { actor, subject, groups, policyRevision } = response;
  return {
    actor,
    subject: subject && { issuer: subject.issuer, id: subject.id },
    groups,
    subjectTokenExpireTime: time(response.subjectTokenExpireTime),
    policyRevision,
    time: neededTime(response.time, "time", undefined),
  };
}

/** Reads a task that was opened for another agent. */
export function delegatedTask(response: service.DelegateTaskResponse, requestId: string): DelegatedTask {
  if (!response.taskId) {
    throw notUnderstood("a task without an id", requestId);
  }
  const endTime = neededTime(response.endTime, "end_time", requestId);
  return { taskId: response.taskId, endTime, depth: response.depth };
}

/** Reads what ending a task did. */
export function taskEnd(response: service.EndTaskResponse): TaskEnd {
  return {
    endTime: neededTime(response.endTime, "end_time", undefined),
    grants: response.grants,
    credentialsUntil: time(response.credentialsUntil),
    denying: response.denying,
  };
}

/** Reads one event of a task. */
export function taskEvent(message: service.WatchTaskResponse): TaskEvent {
  const kind = message.kind ? EventKinds[message.kind] : undefined;
  return {
    kind: (kind as TaskEvent["kind"] | undefined) ?? "UNKNOWN",
    grants: message.grants,
    cause: cause(message.cause),
  };
}

/** Reads a remedy. */
export function remedy(value: types.Remedy): Remedy {
  return value && value in Remedies ? Remedy[Remedies[value] as Remedy] : Remedy.UNKNOWN;
}

/** Reads the permissions that were stopped. */
export function failures(messages: readonly types.FailedPermission[]): FailedPermission[] {
  return messages.map(({ action, resource, rule, message }) => ({ action, resource, rule, message }));
}

/** Reads permissions. */
export function permissions(messages: readonly types.Permission[]): Permission[] {
  return messages.map(
    (item) =>
      new Permission(
        item.actions,
        item.resources,
        item.conditions.map(({ operator, key, values }) => new Condition(operator, key, values)),
      ),
  );
}

/** Reads what goes with a refusal. */
export function refusalParts(message: types.Refusal | undefined) {
  return {
    failures: failures(message?.failures ?? []),
    offer: permissions(message?.offer ?? []),
    split: (message?.split ?? []).map((part) => permissions(part.permissions)),
  };
}

/** Reads seconds; undefined for what is no time. */
export function secondsOf(duration: Duration | undefined): number | undefined {
  return duration && Math.max(Number(duration.seconds) + duration.nanos / 1e9, 0);
}

function refusal(message: service.PreviewedRefusal): WouldRefuse {
  const parts = { remedy: remedy(message.refusal?.remedy ?? 0), ...refusalParts(message.refusal) };
  return new WouldRefuse(message.reason, message.message, parts);
}

function readGrant(message: types.Grant | undefined, requestId: string | undefined): Grant {
  if (!message?.taskId) {
    throw notUnderstood("a grant of no task", requestId);
  }
  const { name, taskId, actor, sessionPolicy, sessionPolicyDigest, roleArn, entitlements, policyRevision } = message;
  const { ceilingDigest, unguarded, outlivesTask, offlineRenewal, breakGlass } = message;
  return {
    ...{ name, taskId, actor, sessionPolicy, sessionPolicyDigest, roleArn, entitlements, policyRevision },
    ...{ ceilingDigest, unguarded, outlivesTask, offlineRenewal, breakGlass },
    subject: { issuer: message.subject?.issuer ?? "", id: message.subject?.id ?? "" },
    state: (message.state ? (GrantState[message.state] as Grant["state"] | undefined) : undefined) ?? "UNKNOWN",
    size: size(message.size),
    issuances: message.issuances.map((item) => ({
      accessKeyId: item.accessKeyId,
      sessionPolicyDigest: item.sessionPolicyDigest,
      policyRevision: item.policyRevision,
      issueTime: time(item.issueTime),
      expireTime: time(item.expireTime),
    })),
    issueTime: time(message.issueTime),
    expireTime: neededTime(message.expireTime, "expire_time", requestId),
    revokeTime: time(message.revokeTime),
    revokeCause: cause(message.revokeCause),
    approval: message.approval || undefined,
    parent: message.parent || undefined,
  };
}

function pending(message: types.Approval | undefined, taskId: string, requestId: string | undefined): ApprovalPending {
  return new ApprovalPending("people have to approve this before credentials are issued", {
    reason: "APPROVAL_PENDING",
    requestId,
    taskId,
    approval: message?.name ?? "",
    digest: message?.digest ?? "",
    groups: message?.groups ?? [],
    minApprovers: message?.minApprovers ?? 1,
    bySubject: message?.bySubject ?? false,
    lapseTime: time(message?.lapseTime),
  });
}

function size(message: types.PolicySize | undefined): PolicySize {
  const isKnown = message !== undefined && isFieldSet(message, PolicySizeSchema.field.packedPercent);
  return { characters: message?.characters ?? 0, packedPercent: isKnown ? message.packedPercent : undefined };
}

function cause(value: RevokeCause): string | undefined {
  return value ? RevokeCause[value] : undefined;
}

function time(message: Timestamp | undefined): Date | undefined {
  if (message === undefined || message.seconds > FURTHEST || message.seconds < -FURTHEST) {
    return undefined;
  }
  return new Date(Number(message.seconds) * 1000 + Math.floor(message.nanos / 1e6));
}

function neededTime(message: Timestamp | undefined, field: string, requestId: string | undefined): Date {
  const found = time(message);
  if (found === undefined) {
    throw notUnderstood(`no usable ${field}`, requestId);
  }
  return found;
}

function notUnderstood(what: string, requestId: string | undefined): GatewayFailure {
  return new GatewayFailure(`the gateway answered with ${what}: is this client older or newer than it?`, {
    reason: "ANSWER_NOT_UNDERSTOOD",
    requestId,
  });
}
