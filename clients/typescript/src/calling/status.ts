/** gRPC statuses to the client's errors; what a newer gateway may add is passed over, never tripped over. */

import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  GatewayFailure,
  InvalidRequest,
  NotFound,
  RateLimited,
  Refused,
  Remedy,
  type RemitError,
  TaskOver,
  type Told,
  Unauthenticated,
  Unavailable,
} from "../errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { RefusalSchema } from "../gen/remit/v1/types_pb.js";
import { refusalParts, remedy, secondsOf } from "./reading.js";

const DOMAIN = "remit.dev";
const OVER = "GRANT_NOT_LIVE";
const REQUEST_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const HUNG_UP = /ECONNRESET|EPIPE|socket hang up|socket disconnected|alert (certificate|unknown|bad)|Stream closed/i;

/** What a failed call says: its gRPC status as `UNAVAILABLE` is written, and what came with it. */
export interface Failure {
  readonly code: string;
  readonly error: RemitError;
}

/**
 * Returns the failure of a call; its error holds what the gateway said, and the request's id.
 *
 * Of the request it holds nothing else, and no id that is none: a token may have been given in its place.
 */
export function failureOf(cause: unknown, target: string, requestId: string | undefined): Failure {
  const connectError = ConnectError.from(cause);
  const code = codeOf(connectError);
  const info = detail(connectError, ErrorInfoSchema);
  const isOurs = info?.domain === DOMAIN && info.reason !== "";
  const refusal = detail(connectError, RefusalSchema);
  const told = {
    reason: isOurs ? info.reason : code,
    remedy: refusal?.remedy ? remedy(refusal.remedy) : remedyIn(isOurs ? info.metadata.remedy : undefined),
    requestId: requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : undefined,
  };
  const sentence = isOurs
    ? connectError.rawMessage || "the gateway gave no reason"
    : ownSentence(connectError, code, target);
  return { code, error: errorOf(told.reason === OVER ? OVER : code, sentence, told, connectError) };
}

function errorOf(kind: string, sentence: string, told: Told, from: ConnectError): RemitError {
  switch (kind) {
    case OVER:
      return new TaskOver(sentence, told);
    case "INVALID_ARGUMENT": {
      const fields = detail(from, BadRequestSchema)?.fieldViolations ?? [];
      const violations = fields.map(({ field, description }) => ({ path: field, rule: description }));
      return new InvalidRequest(sentence, { ...told, violations });
    }
    case "UNAUTHENTICATED":
      return new Unauthenticated(sentence, told);
    case "PERMISSION_DENIED":
    case "FAILED_PRECONDITION":
      return new Refused(sentence, { ...told, ...refusalParts(detail(from, RefusalSchema)) });
    case "NOT_FOUND":
      return new NotFound(sentence, told);
    case "RESOURCE_EXHAUSTED":
      return new RateLimited(sentence, { ...told, retryAfter: retryAfter(from) });
    case "UNAVAILABLE":
    case "DEADLINE_EXCEEDED":
      return new Unavailable(sentence, { ...told, retryAfter: retryAfter(from) });
    default:
      return new GatewayFailure(sentence, told);
  }
}

/** Returns the status's name. What went wrong on this side of the gateway is UNAVAILABLE, whatever HTTP/2 calls it. */
function codeOf(error: ConnectError): string {
  const isTheGateways = error.metadata.has("grpc-status");
  const isOurs = error.code === Code.DeadlineExceeded || error.code === Code.Unimplemented;
  if (!isTheGateways && !isOurs) {
    return "UNAVAILABLE";
  }
  return (Code[error.code] ?? "UNKNOWN").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

/** Returns a sentence where the gateway could say none: what happened on the way to it. */
function ownSentence(error: ConnectError, code: string, target: string): string {
  if (code === "DEADLINE_EXCEEDED") {
    return `the gateway at ${target} did not answer in time`;
  }
  if (code === "UNAVAILABLE") {
    return `the gateway at ${target} cannot be reached: ${causeOf(error)}`;
  }
  return error.rawMessage || `the gateway at ${target} gave no reason`;
}

/** Returns the words for a connection that failed; with what they mean when the other side just hung up. */
function causeOf(error: ConnectError): string {
  const words = error.rawMessage.trim();
  if (!words) {
    return "no cause was given";
  }
  if (HUNG_UP.test(words)) {
    return (
      `${words} (the other side hung up: its port may want a client certificate, or one of another authority, ` +
      "or may not speak TLS)"
    );
  }
  return words;
}

/** Returns the first detail of this kind; undefined when there is none that can be read. */
function detail<Desc extends DescMessage>(error: ConnectError, schema: Desc): MessageShape<Desc> | undefined {
  const packed = error.details.find((item) => "type" in item && item.type === schema.typeName);
  if (packed === undefined || !("type" in packed)) {
    return undefined;
  }
  try {
    return fromBinary(schema, packed.value);
  } catch {
    return undefined;
  }
}

function remedyIn(name: string | undefined): Remedy {
  return Object.values(Remedy).find((known) => known === name) ?? Remedy.UNKNOWN;
}

function retryAfter(error: ConnectError): number | undefined {
  return secondsOf(detail(error, RetryInfoSchema)?.retryDelay);
}
