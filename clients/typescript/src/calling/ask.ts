/** One wish for credentials, as an agent's code writes it and as the calls take it. */

import { Capability, Permission } from "../intent.js";
import { parseAllow } from "../intents/texts.js";
import { Token, type TokenSource } from "../secret.js";

const SHORTEST_LEASE = 30;
const LONGEST_LEASE = 24 * 60 * 60;
const DEFAULT_LEASE = 60;
const DEFAULT_APPROVAL_TIMEOUT = 900;

/** What a task may do: permissions, capabilities, texts of them (`read s3://reports/*`), or the `offer` of a refusal. */
export type Allow = Permission | Capability | string | Iterable<Permission | Capability | string>;

/** What a task is asked for with. Times are seconds. */
export interface TaskOptions {
  /** The OIDC token of the user whom the agent works for; a function is asked at every request. */
  readonly subjectToken: TokenSource;
  readonly allow: Allow;
  /** Asks for credentials of that life, which then end; without it they are renewed while the task lasts. */
  readonly duration?: number | undefined;
  /** Takes the largest part that may be had instead of a refusal. */
  readonly narrow?: boolean | undefined;
  /** For policies to read. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Asks for more within a task that is already running; whoever started it ends it. */
  readonly taskId?: string | undefined;
  /** How long the task goes on once nobody is there any more: 60 unless said, 30 to a day; null: only its own end ends it. */
  readonly lease?: number | null | undefined;
  /** Where people have to approve: "raise" throws ApprovalPending, "wait" waits for them. */
  readonly approval?: "raise" | "wait" | undefined;
  /** How long people are waited for: 900 unless said. */
  readonly approvalTimeout?: number | undefined;
  /** Collects what was approved meanwhile: that of an ApprovalPending, with otherwise the same arguments. */
  readonly requestId?: string | undefined;
  /** Gives up asking, and waiting for people, when it aborts. The task itself is ended by leaving its block. */
  readonly signal?: AbortSignal | undefined;
}

/** What a preview is asked for with. */
export type PreviewOptions = Pick<TaskOptions, "subjectToken" | "allow" | "duration" | "narrow" | "labels" | "taskId">;

/** One wish for credentials. */
export interface Ask {
  readonly purpose: string;
  readonly subjectToken: Token;
  readonly permissions: readonly Permission[];
  readonly capabilities: readonly Capability[];
  readonly duration: number | undefined;
  readonly narrow: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly taskId: string | undefined;
  readonly lease: number | undefined;
  /** How long people are waited for; undefined: not at all. */
  readonly approvalTimeout: number | undefined;
  readonly requestId: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Reads what the caller wrote; throws TypeError where it is of another kind, IAM JSON for `allow` among them. */
export function ask(purpose: string, options: TaskOptions): Ask {
  const labels = options.labels ?? {};
  if (![purpose, ...Object.values(labels)].every((text) => typeof text === "string")) {
    throw new TypeError("purpose and labels must be strings");
  }
  const approval = options.approval ?? "raise";
  if (approval !== "raise" && approval !== "wait") {
    throw new TypeError('approval must be "raise" or "wait"');
  }
  return {
    purpose,
    subjectToken: new Token("subjectToken", options.subjectToken),
    ...intentOf(options.allow),
    duration: options.duration,
    narrow: options.narrow ?? false,
    labels: { ...labels },
    taskId: options.taskId,
    lease: leaseOf(options),
    approvalTimeout: approval === "wait" ? (options.approvalTimeout ?? DEFAULT_APPROVAL_TIMEOUT) : undefined,
    requestId: options.requestId,
    signal: options.signal,
  };
}

/** Reads what may be done; throws TypeError for IAM JSON and whatever else it is not, InvalidRequest for an odd text. */
export function intentOf(allow: Allow): { permissions: Permission[]; capabilities: Capability[] } {
  const isOne = allow instanceof Permission || allow instanceof Capability || typeof allow === "string";
  const items = (isOne ? [allow] : [...allow]).map((item, index) =>
    typeof item === "string" ? parseAllow(item, `allow[${index}]`) : item,
  );
  if (!items.every((item) => item instanceof Permission || item instanceof Capability)) {
    throw new TypeError("allow takes Permission, Capability and texts of them: IAM JSON is not accepted");
  }
  return {
    permissions: items.filter((item) => item instanceof Permission),
    capabilities: items.filter((item) => item instanceof Capability),
  };
}

/** Reads a lease; throws RangeError for one out of bounds. */
function leaseOf(options: TaskOptions): number | undefined {
  if (options.lease === null) {
    return undefined;
  }
  const lease = options.lease ?? DEFAULT_LEASE;
  if (!Number.isInteger(lease) || lease < SHORTEST_LEASE || lease > LONGEST_LEASE) {
    throw new RangeError("lease must be whole seconds between 30 seconds and a day, or null for none");
  }
  return lease;
}
