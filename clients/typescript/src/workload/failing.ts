/** The one way in which a platform's identity is not to be had, told so that somebody can mend it. */

import { Remedy, RemitError, type Told } from "../errors.js";

const LONGEST_TOLD = 300;
// What might be a token or a key: no sentence of a platform's is repeated with such a thing in it.
const SECRET = /[A-Za-z0-9_\-.=+/]{24,}/g;

/**
 * The platform gave this workload no token; `advice` says what to set, and where.
 *
 * `reason` is WORKLOAD_TOKEN_UNAVAILABLE, or WORKLOAD_TOKEN_EXPIRED (it cannot be renewed by whoever reads it).
 */
export class NoWorkloadIdentity extends RemitError {
  static {
    NoWorkloadIdentity.prototype.name = "NoWorkloadIdentity";
  }

  constructor(sentence: string, told: Told & { readonly advice?: string } = {}) {
    const { reason = "WORKLOAD_TOKEN_UNAVAILABLE", remedy = Remedy.CORRECT, requestId } = told;
    super(sentence, { reason, remedy, requestId }, told.advice ?? "");
  }
}

/** Returns what a platform said as one short line, without anything that might be a token. */
export function harmless(text: string): string {
  const line = text
    .replace(/[^\P{C}]/gu, " ")
    .split(/\s+/u)
    .filter(Boolean)
    .join(" ");
  return line.replace(SECRET, "***").slice(0, LONGEST_TOLD);
}
