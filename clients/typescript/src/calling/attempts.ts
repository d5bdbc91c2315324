/** How often a call is repeated, and after which pauses. */

import { type RemitError, TaskOver, Unavailable } from "../errors.js";
import type { Failure } from "./status.js";

const MOST_ATTEMPTS = 5;
// A gateway that answers has tried before it says that it cannot: most of all at STS, up to four times for each call.
const MOST_ATTEMPTS_WHEN_TOLD = 3;
const MOST_ATTEMPTS_AT_STS = 2; // unless the gateway says when to come back
const NOBODY_THERE = "UNAVAILABLE";
const FIRST_DELAY = 0.1; // seconds; doubled each time, and shortened by up to a half at random

/** Returns a number between the two, at random. */
export function between(least: number, most: number): number {
  return least + Math.random() * (most - least);
}

/** Resolves after so many seconds; rejects with the signal's reason when it aborts before. */
export async function slept(seconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const give = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", give);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", give, { once: true });
  });
}

/** Counts the attempts of one call and keeps its deadline. */
export class Attempts {
  readonly #deadline: number;
  readonly #failed = new Map<string, number>();
  #total = 0;
  #last: RemitError | undefined;

  constructor(timeout: number) {
    this.#deadline = performance.now() + timeout * 1000;
  }

  /** Returns the seconds left. */
  left(): number {
    return Math.max((this.#deadline - performance.now()) / 1000, 0.001);
  }

  /** Counts a failed attempt and returns the seconds until the next; throws its error when that is no use or not safe. */
  pause(failure: Failure): number {
    if (this.#last !== undefined && saysLess(failure)) {
      throw this.#last;
    }
    this.#last = failure.error;
    const pause = mayHelp(failure) ? this.#pauseAfter(failure.error) : undefined;
    if (pause === undefined) {
      throw failure.error;
    }
    return pause;
  }

  #pauseAfter(error: RemitError): number | undefined {
    const failed = (this.#failed.get(error.reason) ?? 0) + 1;
    this.#failed.set(error.reason, failed);
    this.#total += 1;
    const asked = retryAfter(error);
    const delay = asked ? asked * between(1, 1.25) : FIRST_DELAY * 2 ** (this.#total - 1) * between(0.5, 1);
    const isUsedUp = this.#total >= MOST_ATTEMPTS || failed >= mostAttempts(error);
    return isUsedUp || delay >= this.left() ? undefined : delay;
  }
}

/** Says whether to ask again: nobody was there, or the gateway was full and says when to come back. */
function mayHelp({ code, error }: Failure): boolean {
  return code === NOBODY_THERE || (error.reason === "OVERLOADED" && retryAfter(error) !== undefined);
}

/** Returns how many attempts may fail in this way before it is told. */
function mostAttempts(error: RemitError): number {
  if (error.reason === NOBODY_THERE) {
    return MOST_ATTEMPTS;
  }
  if (error.reason === "STS_UNAVAILABLE") {
    return retryAfter(error) === undefined ? MOST_ATTEMPTS_AT_STS : MOST_ATTEMPTS;
  }
  return MOST_ATTEMPTS_WHEN_TOLD;
}

/**
 * Says whether a repeat's failure only follows from the one before it, which then is the one to tell.
 *
 * The time ran out meanwhile; or an outage at STS has withheld the request's grant, so that only a request with another id
 * can get one.
 */
function saysLess({ code, error }: Failure): boolean {
  return code === "DEADLINE_EXCEEDED" || error instanceof TaskOver;
}

function retryAfter(error: RemitError): number | undefined {
  return error instanceof Unavailable ? error.retryAfter : undefined;
}
