/**
 * Every way in which the gateway fails, as errors: what failed, why, and what to ask for instead.
 *
 * `error instanceof RemitError` catches all of them. `message` is the whole text, fit for a person, a log and a model;
 * none holds a token, a key or a request.
 */

import type { Permission } from "./intent.js";

const MOST_SHOWN = 5;

/** What a refused agent can do about it: the proto's `Remedy`, and what this client adds (CORRECT, UNKNOWN). */
export const Remedy = {
  NARROW: "NARROW",
  ASK_APPROVAL: "ASK_APPROVAL",
  REAUTHENTICATE: "REAUTHENTICATE",
  SPLIT: "SPLIT",
  RETRY_LATER: "RETRY_LATER",
  GIVE_UP: "GIVE_UP",
  /** The request itself is malformed: correct it. Every InvalidRequest says so. */
  CORRECT: "CORRECT",
  /** None was said, or one that this version of the client does not know. */
  UNKNOWN: "UNKNOWN",
} as const;
export type Remedy = (typeof Remedy)[keyof typeof Remedy];

const ADVICE: Readonly<Record<Remedy, string>> = {
  NARROW: "ask for less, or pass narrow: true to get what may be had",
  ASK_APPROVAL: "a person has to approve this",
  REAUTHENTICATE: "the user has to sign in again; subjectToken may be a function that returns a fresh token",
  SPLIT: "ask in several requests",
  RETRY_LATER: "nothing is wrong with the request: try again later",
  GIVE_UP: "asking again in the same way will not help",
  CORRECT: "correct the request and send it again",
  UNKNOWN: "",
};

/** Names a field by its path and the rule it broke; never its value. */
export interface FieldViolation {
  readonly path: string;
  readonly rule: string;
}

/** One permission that was stopped: a concrete action on a concrete resource, and the rule that stopped it. */
export interface FailedPermission {
  readonly action: string;
  readonly resource: string;
  readonly rule: string;
  readonly message: string;
}

/** What every error is told. */
export interface Told {
  readonly reason?: string;
  readonly remedy?: Remedy;
  readonly requestId?: string | undefined;
}

/** A failure with a stable `reason`, a sentence (`sentence`), and what to do about it (`remedy`, `advice`). */
export class RemitError extends Error {
  /** The gateway's reason (`CEILING_EXCEEDED`), or the gRPC status's name when the gateway gave none. */
  readonly reason: string;
  /** What failed and why, in one sentence; `message` says it with what to do. */
  readonly sentence: string;
  readonly remedy: Remedy;
  /** What the caller can do, in a sentence; empty where there is nothing to say. */
  readonly advice: string;
  /** The failed request's id, by which the gateway's audit trail knows it; undefined where there is none. */
  readonly requestId: string | undefined;

  static {
    RemitError.prototype.name = "RemitError";
  }

  constructor(sentence: string, told: Told = {}, advice?: string, lines: readonly string[] = []) {
    const reason = told.reason ?? "UNKNOWN";
    const remedy = told.remedy ?? Remedy.UNKNOWN;
    const advised = advice ?? ADVICE[remedy];
    const help = [
      ...lines,
      ...(advised ? [`what to do: ${advised}`] : []),
      ...(told.requestId ? [`request id: ${told.requestId}`] : []),
    ];
    super([`${reason}: ${sentence}`, ...help.map((line) => `  ${line}`)].join("\n"));
    this.reason = reason;
    this.sentence = sentence;
    this.remedy = remedy;
    this.advice = advised;
    this.requestId = told.requestId;
  }

  /** What `JSON.stringify` writes: an error's own fields would leave its message out. */
  toJSON(): object {
    return { ...this, name: this.name, message: this.message };
  }
}

/** The request breaks a rule of the API (`violations` names field and rule); nothing was decided. */
export class InvalidRequest extends RemitError {
  readonly violations: readonly FieldViolation[];

  static {
    InvalidRequest.prototype.name = "InvalidRequest";
  }

  constructor(sentence: string, told: Told & { readonly violations?: readonly FieldViolation[] } = {}) {
    const violations = told.violations ?? [];
    // The sentence tells the first one whole, where there was no room for the whole of its rule.
    const wrong = violations.map(violationText).filter((text) => !sentence.startsWith(text));
    // The API has no word for it: gateways say GIVE_UP, which is true of this very request only.
    super(
      sentence,
      { ...told, remedy: Remedy.CORRECT },
      undefined,
      wrong.map((text) => `wrong: ${text}`),
    );
    this.violations = violations;
  }

  /** Returns the error for a mistake that was seen before anything was sent. */
  static of(path: string, rule: string): InvalidRequest {
    const violation = { path, rule };
    return new InvalidRequest(violationText(violation), { reason: "INVALID_REQUEST", violations: [violation] });
  }
}

/** What a refusal tells beside its reason. */
export interface RefusalParts {
  readonly failures?: readonly FailedPermission[];
  readonly offer?: readonly Permission[];
  readonly split?: readonly (readonly Permission[])[];
}

/** The answer is no, by a decision on record. */
export class Refused extends RemitError {
  /** Which permission was stopped by which rule. */
  readonly failures: readonly FailedPermission[];
  /** The largest part that would have been granted: pass it to `allow`. */
  readonly offer: readonly Permission[];
  /** Proposes requests that fit one after the other. */
  readonly split: readonly (readonly Permission[])[];

  static {
    Refused.prototype.name = "Refused";
  }

  constructor(sentence: string, told: Told & RefusalParts = {}) {
    const { failures = [], offer = [], split = [] } = told;
    super(sentence, told, refusalAdvice(offer, split) ?? policyAdvice(told), stopped(sentence, failures));
    this.failures = failures;
    this.offer = offer;
    this.split = split;
  }
}

/** What a pending approval tells beside its reason. */
export interface ApprovalParts {
  readonly approval?: string;
  readonly taskId?: string;
  readonly digest?: string;
  readonly groups?: readonly string[];
  readonly minApprovers?: number;
  readonly bySubject?: boolean;
  readonly lapseTime?: Date | undefined;
}

/**
 * People have to approve this first; no credentials were given yet.
 *
 * Come back with the same arguments and `requestId: error.requestId`, or wait with `approval: "wait"`.
 */
export class ApprovalPending extends RemitError {
  /** The name that people decide about. */
  readonly approval: string;
  readonly taskId: string;
  /** What the approvers are shown, as a digest. */
  readonly digest: string;
  /** Groups whose members may say yes; `minApprovers` of them have to. */
  readonly groups: readonly string[];
  readonly minApprovers: number;
  /** True when the user has to confirm in person. */
  readonly bySubject: boolean;
  /** Nobody decides after that. */
  readonly lapseTime: Date | undefined;

  static {
    ApprovalPending.prototype.name = "ApprovalPending";
  }

  constructor(sentence: string, told: Told & ApprovalParts = {}) {
    const { approval = "", groups = [], minApprovers = 1, bySubject = false } = told;
    const who = [
      ...(groups.length > 0 ? [`${minApprovers} of ${groups.join(" or ")}`] : []),
      ...(bySubject ? ["the user in person"] : []),
    ].join(" and ");
    const advice = `${who} must approve ${approval}; then ask again with requestId: "${told.requestId ?? ""}"`;
    super(sentence, { ...told, remedy: said(told.remedy, Remedy.ASK_APPROVAL) }, advice);
    this.approval = approval;
    this.taskId = told.taskId ?? "";
    this.digest = told.digest ?? "";
    this.groups = groups;
    this.minApprovers = minApprovers;
    this.bySubject = bySubject;
    this.lapseTime = told.lapseTime;
  }
}

/** The user's token or the agent's own identity was not accepted. */
export class Unauthenticated extends RemitError {
  static {
    Unauthenticated.prototype.name = "Unauthenticated";
  }

  constructor(sentence: string, told: Told = {}) {
    super(sentence, told, identityAdvice(told));
  }
}

/** What was named is not there, or is not this caller's to see. */
export class NotFound extends RemitError {
  static {
    NotFound.prototype.name = "NotFound";
  }

  constructor(sentence: string, told: Told = {}) {
    super(sentence, told, "");
  }
}

/** Causes of a revoke that were somebody's decision. */
const SOMEBODYS_WORD: ReadonlySet<string> = new Set(["REQUESTED", "SECURITY_EVENT", "REVIEW"]);

/** The task, or the time it asked for, is over: it gives no credentials any more, another one may. */
export class TaskOver extends RemitError {
  /** Why the gateway revoked or ended it (`LEASE_LOST`, `SECURITY_EVENT`); undefined where it did not. */
  override readonly cause: string | undefined;

  static {
    TaskOver.prototype.name = "TaskOver";
  }

  constructor(sentence: string, told: Told & { readonly cause?: string | undefined } = {}) {
    const advice = SOMEBODYS_WORD.has(told.cause ?? "")
      ? "find out from the security team why it was revoked: while a user or an agent is blocked, none starts"
      : "start another task";
    super(sentence, { ...told, remedy: said(told.remedy, Remedy.GIVE_UP) }, advice);
    this.cause = told.cause;
  }
}

/** Nothing was granted because something is not there or misbehaves; asking again may help. */
export class Unavailable extends RemitError {
  /** How many seconds the gateway asks to wait; undefined when it did not say. */
  readonly retryAfter: number | undefined;

  static {
    Unavailable.prototype.name = "Unavailable";
  }

  constructor(sentence: string, told: Told & { readonly retryAfter?: number | undefined } = {}) {
    super(sentence, { ...told, remedy: said(told.remedy, Remedy.RETRY_LATER) }, waitAdvice(told));
    this.retryAfter = told.retryAfter;
  }
}

/** This agent is over its budget, or the gateway is full: ask again later, and less often. */
export class RateLimited extends Unavailable {
  static {
    RateLimited.prototype.name = "RateLimited";
  }
}

/** The gateway failed in a way it cannot explain, or answered what this client does not understand. */
export class GatewayFailure extends RemitError {
  static {
    GatewayFailure.prototype.name = "GatewayFailure";
  }
}

/** Writes a violation as it is told. */
export function violationText(violation: FieldViolation): string {
  return violation.path ? `${violation.path}: ${violation.rule}` : violation.rule;
}

function said(remedy: Remedy | undefined, unlessSaid: Remedy): Remedy {
  return remedy === undefined || remedy === Remedy.UNKNOWN ? unlessSaid : remedy;
}

function refusalAdvice(offer: readonly Permission[], split: RefusalParts["split"]): string | undefined {
  if (offer.length > 0) {
    return `ask with allow: error.offer, which is ${offer.join("; ")}`;
  }
  return split?.length ? `ask in ${split.length} requests, one with each part of error.split` : undefined;
}

function policyAdvice({ reason, remedy }: Told): string | undefined {
  return reason === "POLICY_DENIED" && remedy === Remedy.GIVE_UP
    ? `${ADVICE.GIVE_UP}: ask the security team for an entitlement; the request id leads them to the decision`
    : undefined;
}

function identityAdvice({ reason, remedy }: Told): string {
  if (reason === "ACTOR_REJECTED") {
    return (
      "check this agent's certificateFile and keyFile, or its bearerToken, and that the gateway's port is the one for " +
      "it: certificates have one port, bearer tokens another"
    );
  }
  if (reason === "SUBJECT_TOKEN_REJECTED" && remedy === Remedy.GIVE_UP) {
    return `${ADVICE.GIVE_UP}: what the sentence names has to change first, such as the token's audience`;
  }
  return ADVICE[remedy ?? "UNKNOWN"] || ADVICE.REAUTHENTICATE;
}

function stopped(sentence: string, failures: readonly FailedPermission[]): string[] {
  const untold = failures.filter((failure) => !failure.message || !sentence.includes(failure.message));
  const shown = untold.slice(0, MOST_SHOWN).map((failure) => `stopped: ${failureText(failure)}`);
  const more = untold.length - MOST_SHOWN;
  return more > 0 ? [...shown, `stopped: ${more} more, see error.failures`] : shown;
}

function failureText(failure: FailedPermission): string {
  // The gateway's sentence mostly names action and resource itself; where no request was found there are none.
  const isTold = failure.message.includes(failure.action) && failure.message.includes(failure.resource);
  const place = isTold ? "" : `${failure.action} on ${failure.resource} `;
  return `${place}by ${failure.rule}${failure.message ? `: ${failure.message}` : ""}`;
}

function waitAdvice(told: Told & { readonly retryAfter?: number | undefined }): string {
  if (told.reason === "UNAVAILABLE") {
    return (
      "check that the gateway runs at this address, that caFile vouches for it, that this agent's own " +
      "certificate is not over, and that the port is the one for how this agent says who it is: gateways " +
      "listen for certificates at one port, for bearer tokens at another"
    );
  }
  if (told.retryAfter !== undefined) {
    return `nothing is wrong with the request: try again in ${Number(told.retryAfter.toPrecision(3))} s`;
  }
  return ADVICE.RETRY_LATER;
}
