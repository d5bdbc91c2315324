/** Calls to the gateway, repeated where that is safe. */

import { randomUUID } from "node:crypto";
import type { CallOptions } from "@connectrpc/connect";
import { ApprovalPending, InvalidRequest, RemitError } from "../errors.js";
import type { Decision, DelegatedTask, Grant, Identity, Issued, Preview, TaskEnd, TaskEvent } from "../grant.js";
import type { Token } from "../secret.js";
import { VERSION } from "../version.js";
import { NoWorkloadIdentity } from "../workload/failing.js";
import type { Ask } from "./ask.js";
import { Attempts, slept } from "./attempts.js";
import type { Stub, TlsChannel } from "./channel.js";
import { durationOf, intentMessage, issueRequest, previewRequest, renewRequest, watchRequest } from "./mapping.js";
import * as reading from "./reading.js";
import { failureOf } from "./status.js";
import { Patience } from "./waiting.js";

interface Narrower {
  readonly grant: Grant;
  readonly intent: Parameters<typeof intentMessage>[0];
  readonly duration: number | undefined;
  readonly narrow: boolean;
  readonly requestId: string | undefined;
}

/** What goes with a call: a bearer token stands in for the one that would be asked for. */
interface More {
  readonly requestId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly bearer?: string | undefined;
}

interface Delegation {
  readonly taskId: string;
  readonly actor: string;
  readonly purpose: string;
  readonly maxDuration: number | undefined;
  readonly requestId: string | undefined;
}

/** The calls. One and its repeats share a request id and a deadline; the agent's bearer token is asked for at each. */
export class Calls {
  readonly channel: TlsChannel;
  readonly #bearer: Token | undefined;
  readonly #timeout: number;
  readonly #begun = new Set<string>();

  constructor(channel: TlsChannel, bearer: Token | undefined, timeout: number) {
    this.channel = channel;
    this.#bearer = bearer;
    this.#timeout = timeout;
  }

  /** Says whether a grant begins the work in a task that another agent handed on, as far as is known here. */
  begins(grant: Grant): boolean {
    const isHandedOn = grant.parent !== undefined && !grant.parent.startsWith(`tasks/${grant.taskId}/`);
    if (!isHandedOn || this.#begun.has(grant.taskId)) {
      return false;
    }
    this.#begun.add(grant.taskId);
    return true;
  }

  /** Asks for credentials, and again while people are waited for; throws RemitError. */
  async issue(ask: Ask, onPending?: (pending: ApprovalPending) => void): Promise<Issued> {
    const requestId = ask.requestId ?? randomUUID();
    const patience = new Patience(ask.approvalTimeout, onPending);
    const asked = async (): Promise<Issued | ApprovalPending> => {
      const token = await ask.subjectToken.read();
      const request = issueRequest(ask, token, requestId);
      const send = (stub: Stub, options: CallOptions) => stub.issueCredentials(request, options);
      const more = { requestId, signal: ask.signal, bearer: this.#carried(ask, token) };
      return reading.issued(await this.#call(send, more), requestId);
    };
    try {
      let answer = await asked();
      while (answer instanceof ApprovalPending) {
        await slept(patience.pause(answer), ask.signal);
        answer = await asked();
      }
      return answer;
    } catch (error) {
      if (patience.taskId !== undefined && ask.taskId === undefined && !(error instanceof RemitError)) {
        // Nobody comes back for it: the gateway is told that the task is over. Else it lapses.
        this.end(patience.taskId).catch(() => undefined);
      }
      throw error;
    }
  }

  /**
   * Asks for new credentials of a grant; throws RemitError.
   *
   * Where the grant may be renewed without the user it is, once the user's token is no good any more.
   */
  async renew(ask: Ask, grant: Grant): Promise<Issued> {
    const renewed = async (token: string): Promise<Issued> => {
      const request = renewRequest(grant, token, ask.narrow);
      const send = (stub: Stub, options: CallOptions) => stub.renewCredentials(request, options);
      const bearer = token ? this.#carried(ask, token) : undefined;
      return reading.whole(await this.#call(send, { bearer }), undefined);
    };
    try {
      return await renewed(await ask.subjectToken.read());
    } catch (error) {
      if (!grant.offlineRenewal || (error instanceof RemitError && !isOfTheToken(error))) {
        throw error;
      }
    }
    return await renewed("");
  }

  /** Yields what happens to a task; throws RemitError when the stream breaks. */
  async *watch(taskId: string, lease: number | undefined, signal: AbortSignal): AsyncGenerator<TaskEvent> {
    const headers = await this.#headers();
    try {
      for await (const message of this.channel.watching().watchTask(watchRequest(taskId, lease), { signal, headers })) {
        yield reading.taskEvent(message);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw failureOf(error, this.channel.target, undefined).error;
    }
  }

  /** Asks what would be issued; throws RemitError. */
  async preview(ask: Ask): Promise<Preview> {
    const token = await ask.subjectToken.read();
    const request = previewRequest(ask, token);
    const send = (stub: Stub, options: CallOptions) => stub.previewCredentials(request, options);
    return reading.preview(await this.#call(send, { bearer: this.#carried(ask, token) }));
  }

  /** Ends a task; throws RemitError. */
  async end(taskId: string): Promise<TaskEnd> {
    return reading.taskEnd(await this.#call((stub, options) => stub.endTask({ taskId }, options)));
  }

  /** Asks for less than a grant holds; throws RemitError. */
  async attenuate({ grant, intent, duration, narrow, ...wanted }: Narrower): Promise<Issued> {
    const requestId = wanted.requestId ?? randomUUID();
    const request = { requestId, name: grant.name, intent: intentMessage(intent), narrow, ...lasting(duration) };
    const send = (stub: Stub, options: CallOptions) => stub.attenuateCredentials(request, options);
    return reading.whole(await this.#call(send, { requestId }), requestId);
  }

  /** Opens a task under a task; throws RemitError. */
  async delegate({ taskId, actor, purpose, maxDuration, ...wanted }: Delegation): Promise<DelegatedTask> {
    const requestId = wanted.requestId ?? randomUUID();
    const limit = maxDuration === undefined ? {} : { maxDuration: durationOf(maxDuration) };
    const send = (stub: Stub, options: CallOptions) =>
      stub.delegateTask({ requestId, taskId, actor, purpose, ...limit }, options);
    return reading.delegatedTask(await this.#call(send, { requestId }), requestId);
  }

  /** Asks who is calling; throws RemitError. */
  async whoami(subjectToken: Token | undefined): Promise<Identity> {
    const token = (await subjectToken?.read()) ?? "";
    const bearer = subjectToken && this.#bearer?.isFromWhere(subjectToken) ? token : undefined;
    const send = (stub: Stub, options: CallOptions) => stub.getCallerIdentity({ subjectToken: token }, options);
    return reading.identity(await this.#call(send, { bearer }));
  }

  /** Asks what an earlier request came to; throws RemitError. */
  async explain(requestId: string): Promise<Decision> {
    const send = (stub: Stub, options: CallOptions) => stub.getDecision({ requestId }, options);
    return reading.decision(await this.#call(send, { requestId }), requestId);
  }

  /** Returns the user's token as the agent's own, where one source gives both: some issuers' one token proves both. */
  #carried(ask: Ask, token: string): string | undefined {
    return this.#bearer?.isFromWhere(ask.subjectToken) ? token : undefined;
  }

  /** Calls, and repeats while nobody was there or the gateway was full. */
  async #call<R>(send: (stub: Stub, options: CallOptions) => Promise<R>, more: More = {}): Promise<R> {
    const { requestId, signal, bearer } = more;
    const attempts = new Attempts(this.#timeout);
    for (;;) {
      signal?.throwIfAborted();
      const headers = await this.#headers(bearer);
      const stub = this.channel.calling();
      let pause: number;
      try {
        return await send(stub, {
          headers,
          timeoutMs: Math.ceil(attempts.left() * 1000),
          ...(signal ? { signal } : {}),
        });
      } catch (error) {
        signal?.throwIfAborted();
        pause = attempts.pause(failureOf(error, this.channel.target, requestId));
      }
      await slept(pause, signal);
    }
  }

  /** Writes the one authorization value, if there is to be any. */
  async #headers(carried?: string): Promise<Record<string, string>> {
    const agent = { "user-agent": `remit-typescript/${VERSION}` };
    const bearer = carried ?? (await this.#bearer?.read());
    return bearer === undefined ? agent : { ...agent, authorization: `Bearer ${bearer}` };
  }
}

function lasting(duration: number | undefined) {
  return duration === undefined ? {} : { requestedDuration: durationOf(duration) };
}

/** Says whether the user's token was the reason. */
function isOfTheToken(error: RemitError): boolean {
  return (
    error.reason === "SUBJECT_TOKEN_REJECTED" || error instanceof InvalidRequest || error instanceof NoWorkloadIdentity
  );
}
