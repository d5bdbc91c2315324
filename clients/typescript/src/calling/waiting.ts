/** Waiting for people who approve: how long, and how often it is asked meanwhile. */

import type { ApprovalPending } from "../errors.js";
import { between } from "./attempts.js";

const FIRST_PAUSE = 1; // seconds
const LONGEST_PAUSE = 10;

/** Counts the time of one wait; without a timeout there is none, and the first pending approval is thrown. */
export class Patience {
  readonly #until: number | undefined;
  readonly #tell: ((pending: ApprovalPending) => void) | undefined;
  #pause = FIRST_PAUSE;
  #taskId: string | undefined;

  constructor(timeout: number | undefined, tell: ((pending: ApprovalPending) => void) | undefined) {
    this.#until = timeout === undefined ? undefined : performance.now() + timeout * 1000;
    this.#tell = tell;
  }

  /** The task that is waited for; undefined before it is. */
  get taskId(): string | undefined {
    return this.#taskId;
  }

  /** Returns the seconds until it is asked again; throws the pending approval once the time is over. */
  pause(pending: ApprovalPending): number {
    const left = this.#until === undefined ? 0 : (this.#until - performance.now()) / 1000;
    if (left <= 0) {
      throw pending;
    }
    if (this.#taskId === undefined) {
      this.#taskId = pending.taskId;
      this.#tell?.(pending);
    }
    const pause = this.#pause;
    this.#pause = Math.min(pause * 1.5, LONGEST_PAUSE);
    return Math.min(pause * between(0.75, 1), left);
  }
}
