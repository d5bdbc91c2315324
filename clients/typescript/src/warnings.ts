/** How this package says what is nobody's error: as Node's warnings, on standard error unless the program listens. */

import { RemitError } from "./errors.js";

/** Emits a warning; `process.on("warning", ...)` hears it with the name RemitWarning. */
export function warn(message: string): void {
  process.emitWarning(message, "RemitWarning");
}

/** Names a failure in a warning. */
export function nameOf(error: unknown): string {
  // NOTE: the text of an error that is not ours may hold anything, a token too; its type may not.
  if (error instanceof RemitError) {
    return error.reason;
  }
  return error instanceof Error ? error.constructor.name : typeof error;
}
