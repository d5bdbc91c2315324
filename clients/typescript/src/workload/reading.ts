/** Tokens that are there already: in a file that somebody keeps fresh, or in a variable of this process. */

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { getSystemErrorMap } from "node:util";
import { NoWorkloadIdentity } from "./failing.js";
import { checked, LONGEST_TOKEN, unverifiedEnd } from "./token.js";

/** What to do: for a token that is missing, and for one that is over. */
export interface Mending {
  readonly mend: string;
  readonly stale: string;
}

/** Returns a file's token, as it is now; throws NoWorkloadIdentity. */
export async function readFile(path: string, { mend, stale }: Mending): Promise<string> {
  const held = await bytesOf(path, mend);
  if (held.some((byte) => byte > 127)) {
    throw new NoWorkloadIdentity(`the file ${path} holds no token: it is not ASCII`);
  }
  return unlessOver(checked(held.toString("latin1"), `the file ${path}`, false), `the token in ${path}`, stale);
}

/** Returns a variable's token, as it is now; throws NoWorkloadIdentity. */
export function readVariable(name: string, { mend, stale }: Mending): string {
  const held = process.env[name];
  if (!held?.trim()) {
    const told = `the variable ${name} is ${held === undefined ? "not set" : "empty"}`;
    throw new NoWorkloadIdentity(told, { advice: mend });
  }
  return unlessOver(checked(held, `the variable ${name}`, false), `the token in ${name}`, stale);
}

async function bytesOf(path: string, mend: string): Promise<Buffer> {
  try {
    // NOTE: a pipe or a device would be waited for without end.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) {
      throw new NoWorkloadIdentity(`${path} is no file`, { advice: mend });
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_TOKEN + 1), 0, LONGEST_TOKEN + 1, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof NoWorkloadIdentity) {
      throw error;
    }
    throw new NoWorkloadIdentity(`the token file ${path} cannot be read: ${wordsOf(error)}`, { advice: mend });
  }
}

/** Returns what the operating system says of a failure, and nothing of the path. */
function wordsOf(error: unknown): string {
  const number = error instanceof Error && "errno" in error ? Number(error.errno) : 0;
  const words = getSystemErrorMap().get(number)?.[1] ?? "it failed";
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Returns the token; refuses one whose own `exp` has passed, which the gateway would refuse with fewer words. */
function unlessOver(token: string, what: string, stale: string): string {
  const end = unverifiedEnd(token);
  if (end !== undefined && end * 1000 <= Date.now()) {
    const until = new Date(Math.max(Math.floor(end), 0) * 1000).toISOString().replace(".000Z", "Z");
    const told = { advice: stale, reason: "WORKLOAD_TOKEN_EXPIRED" };
    throw new NoWorkloadIdentity(`${what} was good until ${until}, which is over`, told);
  }
  return token;
}
