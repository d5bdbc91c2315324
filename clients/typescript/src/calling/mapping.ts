/** Values to messages: the edge at which protobuf begins. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import type {
  IssueCredentialsRequestSchema,
  PreviewCredentialsRequestSchema,
  RenewCredentialsRequestSchema,
  WatchTaskRequestSchema,
} from "../gen/remit/v1/credential_service_pb.js";
import type { TaskIntentSchema } from "../gen/remit/v1/types_pb.js";
import type { Grant } from "../grant.js";
import type { Capability, Permission } from "../intent.js";
import type { Ask } from "./ask.js";

const NANOS = 1_000_000_000;

/** Writes a request for credentials. */
export function issueRequest(
  ask: Ask,
  subjectToken: string,
  requestId: string,
): MessageInitShape<typeof IssueCredentialsRequestSchema> {
  return { ...wish(ask), requestId, subjectToken };
}

/** Writes a request for a preview. */
export function previewRequest(
  ask: Ask,
  subjectToken: string,
): MessageInitShape<typeof PreviewCredentialsRequestSchema> {
  return { ...wish(ask), subjectToken };
}

/** Writes a request for new credentials of a grant; an empty token says that the user is not there. */
export function renewRequest(
  grant: Grant,
  subjectToken: string,
  narrow: boolean,
): MessageInitShape<typeof RenewCredentialsRequestSchema> {
  return { name: grant.name, subjectToken, narrow };
}

/** Writes a request to watch a task; without a lease the one it has is left as it is. */
export function watchRequest(
  taskId: string,
  lease: number | undefined,
): MessageInitShape<typeof WatchTaskRequestSchema> {
  return { taskId, ...(lease === undefined ? {} : { disconnectGrace: durationOf(lease) }) };
}

/** Writes an intent. */
export function intentMessage(wanted: {
  readonly purpose: string;
  readonly permissions: readonly Permission[];
  readonly capabilities: readonly Capability[];
  readonly labels?: Readonly<Record<string, string>>;
}): MessageInitShape<typeof TaskIntentSchema> {
  return {
    purpose: wanted.purpose,
    permissions: wanted.permissions.map((permission) => ({
      actions: [...permission.actions],
      resources: [...permission.resources],
      conditions: permission.conditions.map(({ operator, key, values }) => ({ operator, key, values: [...values] })),
    })),
    capabilities: wanted.capabilities.map(({ name, parameters }) => ({ name, parameters: { ...parameters } })),
    labels: { ...wanted.labels },
  };
}

/** Writes seconds as a duration; throws RangeError for what is no time. */
export function durationOf(seconds: number): Duration {
  if (!Number.isFinite(seconds)) {
    throw new RangeError("a duration must be a number of seconds");
  }
  const whole = Math.trunc(seconds);
  return create(DurationSchema, { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * NANOS) });
}

function wish(ask: Ask) {
  return {
    taskId: ask.taskId ?? "",
    intent: intentMessage(ask),
    narrow: ask.narrow,
    ...(ask.duration === undefined ? {} : { requestedDuration: durationOf(ask.duration) }),
  };
}
