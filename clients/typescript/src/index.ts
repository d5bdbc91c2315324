/**
 * Remit's client: AWS credentials for one task of one AI agent.
 *
 * What is named here is the API; the modules below may change.
 */

export type { Attenuated } from "./attenuated.js";
export type { Allow, PreviewOptions, TaskOptions } from "./calling/ask.js";
export {
  type ApprovalParts,
  ApprovalPending,
  type FailedPermission,
  type FieldViolation,
  GatewayFailure,
  InvalidRequest,
  NotFound,
  RateLimited,
  type RefusalParts,
  Refused,
  Remedy,
  RemitError,
  TaskOver,
  type Told,
  Unauthenticated,
  Unavailable,
} from "./errors.js";
export { Gateway, type GatewayOptions } from "./gateway.js";
export {
  Credentials,
  type Decision,
  type DelegatedTask,
  type Grant,
  type GrantState,
  type Identity,
  type Issuance,
  type PolicySize,
  type Preview,
  type Subject,
  type TaskEnd,
  type WouldIssue,
  WouldRefuse,
} from "./grant.js";
export { Capability, Condition, Permission } from "./intent.js";
export { parseAllow } from "./intents/texts.js";
export type { AwsCredentialProvider, AwsIdentity } from "./keeping/aws.js";
export type { TokenSource } from "./secret.js";
export type { AttenuateOptions, DelegateOptions, Task } from "./task.js";
export { VERSION } from "./version.js";
export { NoWorkloadIdentity } from "./workload/failing.js";
export * as workload from "./workload/index.js";
