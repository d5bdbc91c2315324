/** A live task: its credentials, narrower ones, tasks under it, its end. */

import { type Allow, type Ask, intentOf } from "./calling/ask.js";
import type { Calls } from "./calling/calls.js";
import type { Credentials, DelegatedTask, Grant, Issued, TaskEnd } from "./grant.js";
import { type AwsCredentialProvider, awsProvider } from "./keeping/aws.js";
import { Keyring } from "./keeping/keyring.js";
import { Watch } from "./keeping/watch.js";
import { nameOf, warn } from "./warnings.js";

/** What narrower credentials are asked for with. */
export interface AttenuateOptions {
  /** How many seconds they work, 15 or more: the gateway says 60 unless told, and never longer than the task's own last. */
  readonly duration?: number | undefined;
  /** Takes the largest part that the task holds instead of a refusal. */
  readonly narrow?: boolean | undefined;
  /** What the call is about, for people; as the task's unless said. */
  readonly purpose?: string | undefined;
  readonly requestId?: string | undefined;
}

/** What a task for another agent is opened with. */
export interface DelegateOptions {
  /** What it is about, for people; as this task's unless said. */
  readonly purpose?: string | undefined;
  /** How many seconds it may last at most. */
  readonly duration?: number | undefined;
  readonly requestId?: string | undefined;
}

/** Credentials of their own grant within a task's: they end by themselves, and with the task. */
export interface Attenuated {
  readonly grant: Grant;
  readonly credentials: Credentials;
  /** The same for the AWS SDK. */
  readonly awsCredentials: AwsCredentialProvider;
}

/** A live task. It is ended by `gateway.withTask`, by leaving an `await using`, or by `end()`. */
export class Task {
  readonly id: string;
  /** An AWS SDK v3 credential provider: `new S3Client({ credentials: task.awsCredentials, region: task.region })`. */
  readonly awsCredentials: AwsCredentialProvider;
  readonly #calls: Calls;
  readonly #ask: Ask;
  readonly #keyring: Keyring;
  readonly #watch: Watch;
  readonly #region: string | undefined;
  #end: TaskEnd | undefined;

  /** Begins to keep a task; called by the gateway. */
  constructor(calls: Calls, ask: Ask, first: Issued) {
    this.id = first.grant.taskId;
    this.#calls = calls;
    this.#ask = ask;
    this.#region = first.credentials.region;
    // A certain duration was asked for on purpose: such credentials end, they are not renewed behind its back.
    const renew = ask.duration === undefined ? (grant: Grant) => calls.renew(ask, grant) : undefined;
    const keyring = new Keyring({ task: this.id, first, renew });
    this.#keyring = keyring;
    this.awsCredentials = awsProvider(() => keyring.credentials());
    this.#watch = new Watch(calls, keyring, this.id, ask.lease);
    this.#watch.start();
  }

  /** The latest grant: what exactly these credentials may do, and until when. */
  get grant(): Grant {
    return this.#keyring.grant;
  }

  /** The region to use when there is no better one. */
  get region(): string | undefined {
    return this.#region;
  }

  /** Says whether the task gives no credentials any more. */
  get isOver(): boolean {
    return this.#keyring.isOver;
  }

  /** Returns credentials that work now; throws TaskOver once the task or its time is over, or another RemitError. */
  async credentials(): Promise<Credentials> {
    return await this.#keyring.credentials();
  }

  /** Returns narrower credentials for one call; throws Refused for what the task does not hold, or another RemitError. */
  async attenuate(allow: Allow, options: AttenuateOptions = {}): Promise<Attenuated> {
    await this.#keyring.credentials(); // renews what is near its end, and throws when the task is over
    const { grant, credentials } = await this.#calls.attenuate({
      grant: this.grant,
      intent: { purpose: options.purpose ?? this.#ask.purpose, ...intentOf(allow) },
      duration: options.duration,
      narrow: options.narrow ?? false,
      requestId: options.requestId,
    });
    const keyring = new Keyring({
      task: this.id,
      first: { grant, credentials, issueTime: undefined },
      renew: undefined,
    });
    return { grant, credentials, awsCredentials: awsProvider(() => keyring.credentials()) };
  }

  /**
   * Opens a task under this one for another agent (a SPIFFE ID or `<alias>:<id>`): hand its `taskId` on.
   *
   * That agent asks with it as `taskId`, for the same user. It gets at most what this task holds, and ends with it.
   */
  async delegate(actor: string, options: DelegateOptions = {}): Promise<DelegatedTask> {
    const { purpose = this.#ask.purpose, duration, requestId } = options;
    return await this.#calls.delegate({ taskId: this.id, actor, purpose, duration, requestId });
  }

  /** Ends the task now; again, it gives the same answer. Throws RemitError; the keys are forgotten in any case. */
  async end(): Promise<TaskEnd> {
    this.forget("it was ended");
    this.#end ??= await this.#calls.end(this.id);
    return this.#end;
  }

  /** Forgets the keys without ending the task. */
  forget(why = "its keys were given up here"): void {
    this.#keyring.close(why);
    this.#watch.stop();
  }

  /** Leaves the block: ends the task if it began here, else only forgets its keys. Throws what ending throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ask.taskId !== undefined) {
      this.forget("its block was left");
      return;
    }
    try {
      await this.end();
    } catch (error) {
      const until = this.grant.expireTime.toISOString();
      warn(`remit task ${this.id} was not ended (${nameOf(error)}): its credentials work until ${until}`);
      throw error;
    }
  }

  toString(): string {
    return `<Task ${this.id} ${this.isOver ? "over" : `until ${this.grant.expireTime.toISOString()}`}>`;
  }
}
