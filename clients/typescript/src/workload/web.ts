/** One bounded question over HTTP: https unless it stays on this machine, no redirect followed, no large answer read. */

import { isIP } from "node:net";
import { slept } from "../calling/attempts.js";
import { NoWorkloadIdentity } from "./failing.js";

const LARGEST_ANSWER = 64 * 1024;
const ATTEMPTS = 3;
const FIRST_DELAY = 0.3; // seconds
const TIMEOUT = 6; // seconds

/** What came back. */
export interface Answer {
  readonly status: number;
  /** Returns a text of the JSON object that was answered with 200; undefined for any other answer. */
  member(name: string): string | undefined;
}

/**
 * Asks by GET, again when nobody was there or the server failed; throws NoWorkloadIdentity.
 *
 * `what` names the endpoint in messages: its address may hold parts that are nobody's business.
 */
export async function askWeb(url: string, headers: Record<string, string>, what: string): Promise<Answer> {
  check(url, what);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await asked(url, headers);
      if (answer.status < 500 || attempt === ATTEMPTS) {
        return answer;
      }
    } catch (error) {
      if (attempt === ATTEMPTS) {
        const advice = "look at the network and the proxy settings of this machine, and try again";
        throw new NoWorkloadIdentity(`${what} cannot be reached: ${causeOf(error)}`, { advice });
      }
    }
    await slept(FIRST_DELAY * 2 ** (attempt - 1));
  }
}

async function asked(url: string, headers: Record<string, string>): Promise<Answer> {
  // A redirect is left as it is: the header would go along to wherever it leads.
  const response = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT * 1000) });
  const body = response.status === 200 ? await bounded(response) : "";
  await response.body?.cancel().catch(() => undefined);
  return { status: response.status, member: (name) => memberOf(body, name) };
}

async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > LARGEST_ANSWER) {
      throw new RangeError("the answer is too large");
    }
  }
  return Buffer.concat(parts).toString("utf8");
}

function memberOf(body: string, name: string): string | undefined {
  try {
    const found: unknown = JSON.parse(body);
    const value =
      typeof found === "object" && found !== null ? Object.getOwnPropertyDescriptor(found, name) : undefined;
    return typeof value?.value === "string" ? value.value : undefined;
  } catch {
    return undefined;
  }
}

function check(url: string, what: string): void {
  const { protocol, hostname } = URL.canParse(url) ? new URL(url) : { protocol: "", hostname: "" };
  if (protocol !== "https:" && !(protocol === "http:" && isLocal(hostname))) {
    const advice = "it is set by the platform: do not set it by hand";
    throw new NoWorkloadIdentity(`${what} has no https address`, { advice });
  }
}

/** Says whether a host is this machine, by its literal address only. */
function isLocal(host: string): boolean {
  return (isIP(host) === 4 && host.startsWith("127.")) || host === "[::1]";
}

/** Returns why, without the address. */
function causeOf(error: unknown): string {
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = reason instanceof Error && "code" in reason ? String(reason.code) : "";
  return code || (reason instanceof Error ? reason.name : typeof reason);
}
