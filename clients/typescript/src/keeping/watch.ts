/** Watches a task in the background: keeps its lease at the gateway, and drops its keys when it is revoked or ended. */

import { between } from "../calling/attempts.js";
import type { Calls } from "../calling/calls.js";
import { NotFound, RemitError, Unavailable } from "../errors.js";
import type { TaskEvent } from "../grant.js";
import { nameOf, warn } from "../warnings.js";
import type { Keyring } from "./keyring.js";

const FIRST_PAUSE = 0.2; // seconds; doubled with each failure in a row, and shortened by up to a half at random
const LONGEST_PAUSE = 10;
const COME_BACK_WITHIN = 2; // when a gateway says so, which it does to all of its watchers at once
const SAID_TO_COME_BACK = "STREAM_ENDED";
const NOT_KNOWN_THERE = "UNIMPLEMENTED";
const TOLD_AFTER = 4; // failures in a row

/**
 * One task's stream, opened again after every break for as long as the task lasts and somebody holds its keyring.
 *
 * Neither its connection nor its pauses keep a program from ending.
 */
export class Watch {
  readonly #calls: Calls;
  readonly #keyring: WeakRef<Keyring>;
  readonly #taskId: string;
  readonly #lease: number | undefined;
  readonly #stopped = new AbortController();
  #failures = 0; // in a row

  constructor(calls: Calls, keyring: Keyring, taskId: string, lease: number | undefined) {
    this.#calls = calls;
    this.#keyring = new WeakRef(keyring);
    this.#taskId = taskId;
    this.#lease = lease;
  }

  /** Begins to watch. */
  start(): void {
    void this.#run();
  }

  /** Ends the stream. */
  stop(): void {
    this.#stopped.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted && this.#keyring.deref() !== undefined) {
      const error = await this.#once();
      if (signal.aborted || (error !== undefined && this.#isUselessAfter(error))) {
        return;
      }
      await sleptQuietly(this.#pause(error), signal);
    }
  }

  /** Watches until there is nothing to watch any more, or until the stream breaks: then returns what broke it. */
  async #once(): Promise<unknown> {
    try {
      for await (const event of this.#calls.watch(this.#taskId, this.#lease, this.#stopped.signal)) {
        this.#failures = 0;
        if (this.#isOverAfter(event)) {
          this.stop();
          return undefined;
        }
      }
      return undefined;
    } catch (error) {
      // A token function of the caller's may throw whatever it likes, nothing at all among it.
      return error ?? new Error("nothing was told");
    }
  }

  /** Says whether it is no use to come back after this failure; tells of many in a row. */
  #isUselessAfter(error: unknown): boolean {
    if (this.#calls.channel.isClosed || this.#isOverBy(error)) {
      return true;
    }
    const why = nameOf(error);
    this.#failures = why === SAID_TO_COME_BACK ? 0 : this.#failures + 1;
    if (this.#failures === TOLD_AFTER) {
      const lease = this.#lease === undefined ? "" : `; it ends when that goes on for ${this.#lease} s`;
      warn(`task ${this.#taskId} cannot be watched (${why})${lease}`);
    }
    return false;
  }

  /** Drops the keys when they are revoked or the task has ended, and says whether there is nothing to watch. */
  #isOverAfter(event: TaskEvent): boolean {
    const keyring = this.#keyring.deref();
    if (keyring === undefined || keyring.isOver) {
      return true;
    }
    const cause = event.cause ? ` (${event.cause})` : "";
    if (event.kind === "ENDED") {
      keyring.close(`the gateway ended it${cause}`, event.cause);
    } else if (event.kind === "REVOKED" && (event.grants.length === 0 || event.grants.includes(keyring.grant.name))) {
      keyring.close(`it was revoked${cause}`, event.cause);
    } else {
      return false;
    }
    warn(`task ${this.#taskId} is over: its credentials were dropped${cause}`);
    return true;
  }

  /** Says whether there is no such task, or a gateway that knows no streams. */
  #isOverBy(error: unknown): boolean {
    if (error instanceof RemitError && error.reason === NOT_KNOWN_THERE) {
      warn(`the gateway cannot be asked to watch task ${this.#taskId}: it has no lease`);
      return true;
    }
    if (error instanceof NotFound) {
      this.#keyring.deref()?.close("the gateway says that there is no such task");
      return true;
    }
    return false;
  }

  /** Returns the seconds until the stream is opened again. */
  #pause(error: unknown): number {
    if (this.#failures === 0) {
      return between(FIRST_PAUSE / 2, COME_BACK_WITHIN);
    }
    const longest = this.#lease === undefined ? LONGEST_PAUSE : Math.min(LONGEST_PAUSE, this.#lease / 4);
    const pause = Math.min(FIRST_PAUSE * 2 ** Math.min(this.#failures, 16), longest);
    const asked = error instanceof Unavailable ? Math.min(error.retryAfter ?? 0, longest) : 0;
    return Math.max(pause, asked) * between(0.5, 1);
  }
}

/** Resolves after so many seconds or when the signal aborts, and keeps no program from ending. */
async function sleptQuietly(seconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000).unref();
    signal.addEventListener("abort", done);
  });
}
