/** Values that cannot be printed: tokens, and objects that hold keys. */

import { InvalidRequest } from "./errors.js";
import { areEqual } from "./workload/token.js";

/** A token, or a function that is asked for a fresh one at every use. */
export type TokenSource = string | (() => string | Promise<string>);

/** A caller's token, kept where no inspection looks. */
export class Token {
  readonly #field: string;
  readonly #source: TokenSource;

  constructor(field: string, source: TokenSource) {
    if (typeof source !== "string" && typeof source !== "function") {
      throw new TypeError(`${field} must be a string, or a function that returns one`);
    }
    this.#field = field;
    this.#source = source;
  }

  /** Says whether the same function, or the same platform, gives the other token: one for both, then. */
  isFromWhere(other: Token): boolean {
    return areEqual(this.#source, other.#source);
  }

  /**
   * Returns the token as it is now, without white space around it.
   *
   * Throws InvalidRequest for what no token looks like, without repeating it; whatever the caller's function throws passes
   * through.
   */
  async read(): Promise<string> {
    const found: unknown = typeof this.#source === "function" ? await this.#source() : this.#source;
    if (typeof found !== "string") {
      throw new TypeError(`the function given as ${this.#field} must return a string`);
    }
    const token = found.trim();
    // NOTE: HTTP/2 and protobuf repeat a value which they refuse in their own error, so it never gets that far.
    if (!/^[!-~]*$/.test(token)) {
      throw InvalidRequest.of(this.#field, "must be ASCII without spaces or control characters");
    }
    return token;
  }
}
