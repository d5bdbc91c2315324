/** A part of a task's credentials, for one call of a tool. */

import type { Credentials, Grant, Issued } from "./grant.js";
import { type AwsCredentialProvider, awsProvider } from "./keeping/aws.js";
import { Keyring } from "./keeping/keyring.js";

const OVER = "the time of this part is over: attenuate the task again for the next call";
const FORGOTTEN = "its part was forgotten: its block was left, or the task is over";

/**
 * Narrower credentials out of a task's, for one call; AWS refuses them from `grant.expireTime` on.
 *
 * They are never renewed, and are revoked with the task. `using part = await task.attenuate(...)` forgets the keys when the
 * block is left; it may also be kept and used as it is.
 */
export class Attenuated {
  /** The same for the AWS SDK. */
  readonly awsCredentials: AwsCredentialProvider;
  readonly #around: Keyring;
  readonly #keyring: Keyring;

  /** Keeps a part of a task's credentials; called by the task. */
  constructor(around: Keyring, issued: Issued) {
    this.#around = around;
    this.#keyring = new Keyring({ task: issued.grant.taskId, first: issued, renew: undefined, over: OVER });
    this.awsCredentials = awsProvider(() => this.credentials());
  }

  /** What exactly these credentials may do, and until when; its `parent` is the grant that they lie within. */
  get grant(): Grant {
    return this.#keyring.grant;
  }

  /** Returns the credentials while they work; throws TaskOver once their time, or the task, is over. */
  async credentials(): Promise<Credentials> {
    if (this.#around.isOver) {
      this.forget();
      await this.#around.credentials(); // throws, and says why
    }
    return await this.#keyring.credentials();
  }

  /** Forgets the keys: the call is done. They end by themselves, too. */
  forget(): void {
    this.#keyring.close(FORGOTTEN);
  }

  [Symbol.dispose](): void {
    this.forget();
  }

  toString(): string {
    const state = this.#keyring.isOver ? "over" : `until ${this.grant.expireTime.toISOString()}`;
    return `<Attenuated of ${this.grant.parent ?? "none"} ${state}>`;
  }
}
