/** What the gateway answers: grants, credentials, what a preview says, what ending a task did. */

import { inspect } from "node:util";
import { type FailedPermission, Refused, type Remedy } from "./errors.js";
import type { Permission } from "./intent.js";

/** Where a grant stands (the proto's `GrantState`). */
export type GrantState =
  | "AUTHORIZED"
  | "ISSUED"
  | "FAILED"
  | "REVOKING"
  | "REVOKED"
  | "EXPIRED"
  | "PENDING_APPROVAL"
  | "REFUSED"
  | "LAPSED"
  | "UNKNOWN";

/** The user whom the agent works for, as their OIDC issuer names them. */
export interface Subject {
  readonly issuer: string;
  readonly id: string;
}

/** How much of STS's room a session policy takes: characters of 2,048, and packed percent where known. */
export interface PolicySize {
  readonly characters: number;
  readonly packedPercent: number | undefined;
}

/** One set of credentials of a grant, without them. */
export interface Issuance {
  readonly accessKeyId: string;
  readonly sessionPolicyDigest: string;
  readonly policyRevision: string;
  readonly issueTime: Date | undefined;
  readonly expireTime: Date | undefined;
}

/** The record of what was given: this task, subject and actor, exactly this session policy, until `expireTime`. */
export interface Grant {
  readonly name: string;
  readonly taskId: string;
  readonly subject: Subject;
  readonly actor: string;
  readonly state: GrantState;
  /** The JSON that STS was given. */
  readonly sessionPolicy: string;
  readonly sessionPolicyDigest: string;
  readonly size: PolicySize;
  readonly roleArn: string;
  readonly entitlements: readonly string[];
  readonly policyRevision: string;
  readonly ceilingDigest: string;
  readonly issuances: readonly Issuance[];
  readonly issueTime: Date | undefined;
  /** From then on AWS refuses the credentials. */
  readonly expireTime: Date;
  readonly revokeTime: Date | undefined;
  /** Why it was revoked (`REQUESTED`, `LEASE_LOST`); undefined while it lives. */
  readonly revokeCause: string | undefined;
  /** Conditions that could not be guarded against resource policies which name the session. */
  readonly unguarded: readonly string[];
  readonly outlivesTask: boolean;
  readonly offlineRenewal: boolean;
  /** What people said yes to, or review: with `breakGlass` it was issued before they were asked. */
  readonly approval: string | undefined;
  readonly breakGlass: boolean;
  /** The grant within which it lies and with which it is revoked; undefined when there is none. */
  readonly parent: string | undefined;
}

/** The AWS triple. `expireTime` is when it stops working, also where STS's own expiry is later. */
export class Credentials {
  readonly accessKeyId: string;
  readonly expireTime: Date;
  readonly region: string | undefined;
  readonly #secretAccessKey: string;
  readonly #sessionToken: string;

  constructor(accessKeyId: string, secretAccessKey: string, sessionToken: string, expireTime: Date, region?: string) {
    this.accessKeyId = accessKeyId;
    this.expireTime = expireTime;
    this.region = region;
    this.#secretAccessKey = secretAccessKey;
    this.#sessionToken = sessionToken;
    Object.freeze(this);
  }

  // NOTE: accessors of private fields: no inspection, no spreading and no JSON shows what they give.
  get secretAccessKey(): string {
    return this.#secretAccessKey;
  }

  get sessionToken(): string {
    return this.#sessionToken;
  }

  toString(): string {
    return `Credentials(${this.accessKeyId} until ${this.expireTime.toISOString()})`;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** A grant with its credentials; `issueTime` is when STS was asked, by the gateway's clock. */
export interface Issued {
  readonly grant: Grant;
  readonly credentials: Credentials;
  readonly issueTime: Date | undefined;
}

/** What ending a task did: `grants` get no new credentials. */
export interface TaskEnd {
  readonly endTime: Date;
  readonly grants: readonly string[];
  /** What is out works until then at the longest; undefined when nothing is out. */
  readonly credentialsUntil: Date | undefined;
  /** AWS is being told to refuse it before that; else the credentials run into their time guard. */
  readonly denying: boolean;
}

/** What happened to a task (the proto's `TaskEventKind`). */
export type TaskEventKind =
  | "HEARTBEAT"
  | "ISSUED"
  | "RENEWED"
  | "NARROWED"
  | "REVOKED"
  | "APPROVAL_DECIDED"
  | "ENDED"
  | "UNKNOWN";

/** One event of a task. `grants` are names; none with a revoke or an end means all of the task's. */
export interface TaskEvent {
  readonly kind: TaskEventKind;
  readonly grants: readonly string[];
  /** Why, with a revoke or an end, as the proto's `RevokeCause` does (`LEASE_LOST`). */
  readonly cause: string | undefined;
}

/** A preview's yes: the session policy that would be given to STS, and what it would rest on. */
export interface WouldIssue {
  readonly outcome: "would_issue";
  readonly sessionPolicy: string;
  readonly sessionPolicyDigest: string;
  readonly size: PolicySize;
  readonly roleArn: string;
  readonly entitlements: readonly string[];
  readonly policyRevision: string;
  readonly expireTime: Date;
  /** People would be asked first. */
  readonly needsApproval: boolean;
}

/** A preview's no, with what could be asked for instead; `String()` of it reads as the error would. */
export class WouldRefuse {
  readonly outcome = "would_refuse";
  readonly reason: string;
  readonly sentence: string;
  readonly remedy: Remedy;
  readonly failures: readonly FailedPermission[];
  readonly offer: readonly Permission[];
  readonly split: readonly (readonly Permission[])[];

  constructor(
    reason: string,
    sentence: string,
    parts: {
      readonly remedy: Remedy;
      readonly failures: readonly FailedPermission[];
      readonly offer: readonly Permission[];
      readonly split: readonly (readonly Permission[])[];
    },
  ) {
    this.reason = reason;
    this.sentence = sentence;
    this.remedy = parts.remedy;
    this.failures = parts.failures;
    this.offer = parts.offer;
    this.split = parts.split;
  }

  /** Returns the error that the request itself would throw. */
  error(requestId?: string): Refused {
    const { reason, remedy, failures, offer, split } = this;
    return new Refused(this.sentence, { reason, remedy, failures, offer, split, requestId });
  }

  toString(): string {
    return this.error().message;
  }
}

/** What a preview says. */
export type Preview = WouldIssue | WouldRefuse;

/** What an earlier request came to: its grant as it stands now, or why it was refused. */
export type Decision = { readonly outcome: "grant"; readonly grant: Grant } | WouldRefuse;

/** Who is calling, as the gateway sees it, and for whom. */
export interface Identity {
  readonly actor: string;
  /** The user whose token came with it; undefined without one. */
  readonly subject: Subject | undefined;
  /** The groups that policy sees. */
  readonly groups: readonly string[];
  readonly subjectTokenExpireTime: Date | undefined;
  readonly policyRevision: string;
  /** The gateway's time. */
  readonly time: Date;
}

/** A task that was opened for another agent: hand its `taskId` on. */
export interface DelegatedTask {
  readonly taskId: string;
  /** When it ends at the latest. */
  readonly endTime: Date;
  /** How many tasks there are above it: 1 or more. */
  readonly depth: number;
}
