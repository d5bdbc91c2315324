/** The front door: where the gateway is, who this agent is, and the tasks it asks for. */

import { ask, type PreviewOptions, type TaskOptions } from "./calling/ask.js";
import { Calls } from "./calling/calls.js";
import { TlsChannel } from "./calling/channel.js";
import type { ApprovalPending } from "./errors.js";
import { RemitError } from "./errors.js";
import type { Decision, Identity, Preview, TaskEnd } from "./grant.js";
import { Token, type TokenSource } from "./secret.js";
import { Task } from "./task.js";

const DEFAULT_TIMEOUT = 30;

/** How to reach a gateway, and who asks there. Times are seconds. */
export interface GatewayOptions {
  /** Whom to trust for the gateway (PEM); without it and `rootCertificates`, the roots that come with Node.js. */
  readonly caFile?: string | undefined;
  readonly rootCertificates?: string | Uint8Array | undefined;
  /** The agent's certificate and key (PEM, an X.509 SVID); read again when they change. */
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Instead of these: the agent's own token, or a function that is asked for a fresh one at every call. */
  readonly bearerToken?: TokenSource | undefined;
  /** Bounds each request with its repeats: 30 unless said. */
  readonly timeout?: number | undefined;
}

/**
 * A connection to a Remit gateway; keep one per process and share it.
 *
 * `target` is `host:port`; the connection is always TLS. Throws TypeError for options that contradict each other and for
 * files that hold no certificate or key, and what reading files throws. It connects at the first request.
 */
export class Gateway {
  readonly #channel: TlsChannel;
  readonly #calls: Calls;

  constructor(target: string, options: GatewayOptions) {
    checkTarget(target);
    checkOptions(options);
    const { caFile, rootCertificates, certificateFile, keyFile, bearerToken, timeout = DEFAULT_TIMEOUT } = options;
    if (!(timeout > 0)) {
      throw new RangeError("timeout must be more than 0 seconds");
    }
    const bearer = bearerToken === undefined ? undefined : new Token("bearerToken", bearerToken);
    this.#channel = new TlsChannel(target, { caFile, rootCertificates, certificateFile, keyFile });
    this.#calls = new Calls(this.#channel, bearer, timeout);
  }

  /**
   * Begins a task, hands it to `work`, and ends it when that is done or has failed; returns what `work` does.
   *
   * When the task cannot be ended that is thrown; when `work` failed too, its own error is, and the other is a warning.
   * With an existing `taskId` it joins that task: leaving forgets the keys, and leaves the ending to whoever started it.
   * Throws ApprovalPending, Refused, InvalidRequest, Unauthenticated, NotFound, TaskOver, RateLimited, Unavailable or
   * GatewayFailure, all RemitError.
   */
  async withTask<T>(
    purpose: string,
    options: TaskOptions & { readonly onPending?: (pending: ApprovalPending) => void },
    work: (task: Task) => T | PromiseLike<T>,
  ): Promise<T> {
    const task = await this.task(purpose, options);
    let result: T;
    try {
      result = await work(task);
    } catch (error) {
      await task[Symbol.asyncDispose]().catch(() => undefined); // it warned
      throw error;
    }
    await task[Symbol.asyncDispose]();
    return result;
  }

  /**
   * Begins a task that the caller ends: `await using task = await gateway.task(...)`, or `await task.end()`.
   *
   * `onPending` is called once when `approval: "wait"` begins to wait for people. Throws as `withTask` does.
   */
  async task(
    purpose: string,
    options: TaskOptions & { readonly onPending?: (pending: ApprovalPending) => void },
  ): Promise<Task> {
    const wish = ask(purpose, options);
    return new Task(this.#calls, wish, await this.#calls.issue(wish, options.onPending));
  }

  /** Returns what `task` with these arguments would get; nothing is issued. Throws when there is no decision to show. */
  async preview(purpose: string, options: PreviewOptions): Promise<Preview> {
    return await this.#calls.preview(ask(purpose, options));
  }

  /** Returns who is calling, as the gateway sees it; with a user's token also for whom. Throws RemitError. */
  async whoami(options: { readonly subjectToken?: TokenSource } = {}): Promise<Identity> {
    const { subjectToken } = options;
    return await this.#calls.whoami(subjectToken === undefined ? undefined : new Token("subjectToken", subjectToken));
  }

  /** Returns what an earlier request of this agent came to: by its request id, or by the error that it ended in. */
  async explain(request: string | RemitError): Promise<Decision> {
    const requestId = request instanceof RemitError ? request.requestId : request;
    if (!requestId) {
      throw new TypeError("there is no request id to ask by: only requests for credentials have one");
    }
    return await this.#calls.explain(requestId);
  }

  /** Ends a task of this agent by its id, when no block of this process does; again, it gives the same answer. */
  async endTask(taskId: string): Promise<TaskEnd> {
    return await this.#calls.end(taskId);
  }

  /** Closes the connections: tasks that are still running can neither be renewed nor ended after that. */
  close(): void {
    this.#channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  toString(): string {
    return `<Gateway ${this.#channel.target}>`;
  }
}

/** Refuses anything but host and port, such as a URL. */
function checkTarget(target: string): void {
  const url = /:\d{1,5}$/.test(target) && URL.canParse(`https://${target}`) ? new URL(`https://${target}`) : undefined;
  // NOTE: a slash, an @ or a ? would make another host of it than the one that was meant.
  if (url === undefined || url.href !== `${url.origin}/`) {
    throw new TypeError(`target is host:port, such as gateway.example.com:8443, and not ${JSON.stringify(target)}`);
  }
}

/** Refuses options that contradict each other. */
function checkOptions(options: GatewayOptions): void {
  if (options.caFile !== undefined && options.rootCertificates !== undefined) {
    throw new TypeError("give caFile or rootCertificates, not both");
  }
  if ((options.certificateFile === undefined) !== (options.keyFile === undefined)) {
    throw new TypeError("certificateFile and keyFile belong together");
  }
  if ((options.certificateFile === undefined) === (options.bearerToken === undefined)) {
    throw new TypeError("say who this agent is: either certificateFile and keyFile, or bearerToken");
  }
}
