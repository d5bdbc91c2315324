/** Credentials as the AWS SDK for JavaScript (v3) takes them. */

import { inspect } from "node:util";
import type { Credentials } from "../grant.js";

// The SDK keeps what a provider gave until five minutes before its `expiration`. With one that is nearer than that it asks
// the task for each request, which answers from memory: so it hears at once of new credentials, and that a task is over.
const ASKED_WITHIN_MS = 240_000;

/** An AWS SDK v3 `AwsCredentialIdentity`; its keys are plain properties, and hidden from inspection and JSON. */
export class AwsIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** When the SDK asks anew: never later than the end of the credentials. */
  readonly expiration: Date;

  constructor(credentials: Credentials) {
    this.accessKeyId = credentials.accessKeyId;
    this.secretAccessKey = credentials.secretAccessKey;
    this.sessionToken = credentials.sessionToken;
    this.expiration = new Date(Math.min(credentials.expireTime.getTime(), Date.now() + ASKED_WITHIN_MS));
  }

  toJSON(): object {
    const { accessKeyId, expiration } = this;
    return { accessKeyId, secretAccessKey: "***", sessionToken: "***", expiration };
  }

  toString(): string {
    return `AwsIdentity(${this.accessKeyId})`;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** An AWS SDK v3 `AwsCredentialIdentityProvider`: pass it as `credentials` to a client. */
export type AwsCredentialProvider = () => Promise<AwsIdentity>;

/** Returns a provider of what `credentials` gives, which is asked at each request of the SDK. */
export function awsProvider(credentials: () => Promise<Credentials>): AwsCredentialProvider {
  return async () => new AwsIdentity(await credentials());
}
