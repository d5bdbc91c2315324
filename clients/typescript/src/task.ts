/** A live task: its credentials, narrower ones, tasks under it, its end. */

import { Attenuated } from "./attenuated.js";
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
  readonly maxDuration?: number | undefined;
  readonly requestId?: string | undefined;
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
  readonly #isBegunHere: boolean;
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
    this.#isBegunHere = ask.taskId === undefined || calls.begins(first.grant);
    // Who joins a task leaves its lease as it is.
    this.#watch = new Watch(calls, keyring, this.id, this.#isBegunHere ? ask.lease : undefined);
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
    const issued = await this.#calls.attenuate({
      grant: this.grant,
      intent: { purpose: options.purpose ?? this.#ask.purpose, ...intentOf(allow) },
      duration: options.duration,
      narrow: options.narrow ?? false,
      requestId: options.requestId,
    });
    return new Attenuated(this.#keyring, issued);
  }

  /**
   * Opens a task under this one for another agent (a SPIFFE ID or `<alias>:<id>`): hand its `taskId` on.
   *
   * That agent asks with it as `taskId` and a token of the same user. It gets at most what this task's credentials may do,
   * and loses it when this task ends. Throws Refused (DELEGATION_TOO_DEEP), InvalidRequest for a name that no agent has,
   * TaskOver, or another RemitError.
   */
  async delegate(actor: string, options: DelegateOptions = {}): Promise<DelegatedTask> {
    const { purpose = this.#ask.purpose, maxDuration, requestId } = options;
    return await this.#calls.delegate({ taskId: this.id, actor, purpose, maxDuration, requestId });
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

  /**
   * Leaves the block: ends the task if it began here, else only forgets its keys. Throws what ending throws.
   *
   * A task that another agent handed on begins with the first one of this gateway in it.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isBegunHere) {
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
