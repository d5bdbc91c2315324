/** Holds the credentials of one task, renews them in time, and forgets them when the task is over. */

import { NotFound, TaskOver, Unavailable } from "../errors.js";
import type { Credentials, Grant, Issued } from "../grant.js";
import { nameOf, warn } from "../warnings.js";

const ADVISORY = 120; // seconds before their end at which credentials are renewed, at best
const MANDATORY = 60; // and at the latest; or a third and a sixth of a shorter life

/** What a keyring is made with. `renew` undefined: a certain time was asked for, so the credentials end when it does. */
export interface KeyringOptions {
  readonly task: string;
  readonly first: Issued;
  readonly renew: ((grant: Grant) => Promise<Issued>) | undefined;
  /** What to say once they have ended. */
  readonly over?: string;
}

const OVER = "its time is over: for longer work ask for a longer duration, or leave duration out";

/**
 * The current credentials of a task: one renewal at a time, whoever asks.
 *
 * While credentials work, a renewal that fails is told as a warning and tried again later; it is thrown once they ended.
 */
export class Keyring {
  readonly #task: string;
  readonly #renew: KeyringOptions["renew"];
  readonly #whenOver: string;
  #grant: Grant;
  // NOTE: private fields: no inspection and no JSON shows what they hold.
  #credentials: Credentials | undefined;
  #renewing: Promise<Credentials> | undefined;
  #renewTime = 0; // milliseconds since 1970, as Date has them
  #mandatory = 0; // milliseconds
  #over: string | undefined;
  #cause: string | undefined;

  constructor({ task, first, renew, over = OVER }: KeyringOptions) {
    this.#task = task;
    this.#renew = renew;
    this.#whenOver = over;
    this.#grant = first.grant;
    this.#take(first);
  }

  /** The latest grant. */
  get grant(): Grant {
    return this.#grant;
  }

  /** Says whether there are no credentials any more. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Returns credentials that work now, renewed when it is time; throws RemitError when there are none. */
  async credentials(): Promise<Credentials> {
    const current = this.#current();
    const left = current.expireTime.getTime() - Date.now();
    if (this.#renew === undefined) {
      if (left <= 0) {
        this.close(this.#whenOver);
      }
      return this.#current();
    }
    if (Date.now() < this.#renewTime) {
      return current;
    }
    this.#renewing ??= this.#renewed(this.#renew).finally(() => {
      this.#renewing = undefined;
    });
    if (left > this.#mandatory) {
      // It is under way, and these still work: whoever asks later gets the new ones, or its failure.
      this.#renewing.catch(() => undefined);
      return current;
    }
    return await this.#renewing;
  }

  /** Forgets the keys: from here on there are only TaskOver errors, which say why. */
  close(why: string, cause?: string): void {
    if (this.#over === undefined) {
      this.#over = why;
      this.#cause = cause;
    }
    this.#credentials = undefined;
  }

  async #renewed(renew: (grant: Grant) => Promise<Issued>): Promise<Credentials> {
    let next: Issued;
    try {
      next = await renew(this.#grant);
    } catch (error) {
      if (error instanceof TaskOver || error instanceof NotFound) {
        this.close("the gateway says that it is over");
        throw error;
      }
      return this.#kept(error); // whatever it is, credentials that still work are of more use
    }
    this.#current();
    this.#take(next);
    if (next.credentials.expireTime.getTime() <= Date.now()) {
      throw new Unavailable(
        "the credentials had ended when they came: the clock of this machine is ahead of the gateway's",
        { reason: "CLOCK_AHEAD" },
      );
    }
    return next.credentials;
  }

  /** Returns the current credentials after a failed renewal, and puts off the next; throws when they have ended. */
  #kept(error: unknown): Credentials {
    const current = this.#current();
    if (current.expireTime.getTime() <= Date.now()) {
      throw error;
    }
    const asked = error instanceof Unavailable ? (error.retryAfter ?? 0) * 1000 : 0;
    this.#renewTime = Date.now() + Math.max(asked, this.#mandatory / 4);
    const until = current.expireTime.toISOString();
    warn(`credentials of task ${this.#task} were not renewed (${nameOf(error)}); they work until ${until}`);
    return current;
  }

  #take(issued: Issued): void {
    const until = issued.credentials.expireTime.getTime();
    const lifetime = Math.max(until - (issued.issueTime?.getTime() ?? Date.now()), 0);
    this.#grant = issued.grant;
    this.#credentials = issued.credentials;
    this.#mandatory = Math.min(MANDATORY * 1000, lifetime / 6);
    this.#renewTime = until - Math.min(ADVISORY * 1000, lifetime / 3);
  }

  #current(): Credentials {
    if (this.#credentials === undefined) {
      const told = `task ${this.#task} gives no credentials any more: ${this.#over}`;
      throw new TaskOver(told, { reason: "GRANT_NOT_LIVE", cause: this.#cause });
    }
    return this.#credentials;
  }
}
