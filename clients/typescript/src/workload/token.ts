/** A platform's token as a function that gives a fresh one: kept until near its end, asked for once by everybody. */

import { NoWorkloadIdentity } from "./failing.js";

const PATIENCE = 20; // seconds for one answer of a platform, its repeats included
const MARGIN = 60; // seconds before its end, or half of a shorter life, at which a token is asked for anew
const LONGEST_KEPT = 3600; // seconds, whatever a token says of its end
export const LONGEST_TOKEN = 16 * 1024; // of the 24 KiB that a gateway takes in all
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const SOURCE = Symbol("source");

/**
 * A function that returns this workload's token; give it as `bearerToken`, `subjectToken`. Throws NoWorkloadIdentity.
 *
 * Two that ask the same platform for the same thing are equal, and a call to the gateway that takes both tokens from equal
 * ones sends one token twice: some issuers' one token proves both who works and for whom.
 */
export interface WorkloadToken {
  (): Promise<string>;
  readonly platform: string;
}

interface Kept {
  readonly token: string;
  readonly end: number;
  readonly renewal: number;
}

/** Returns a source that asks its platform at every call. */
export function asked(platform: string, parameters: object, fetched: () => Promise<string>): WorkloadToken {
  return named(platform, parameters, () => flown(platform, fetched).then(({ token }) => token));
}

/** Returns a source of what is there already: `read` at every call. */
export function found(platform: string, parameters: object, read: () => Promise<string>): WorkloadToken {
  return named(platform, parameters, read);
}

/** Returns a source that keeps what it was given until near its end; it outlasts an outage of the platform. */
export function kept(platform: string, parameters: object, fetched: () => Promise<string>): WorkloadToken {
  let held: Kept | undefined;
  let flight: Promise<Kept> | undefined;
  return named(platform, parameters, async () => {
    if (held !== undefined && Date.now() < held.renewal) {
      return held.token;
    }
    flight ??= flown(platform, fetched).finally(() => {
      flight = undefined;
    });
    try {
      held = await flight;
    } catch (error) {
      if (held === undefined || Date.now() >= held.end) {
        throw error;
      }
    }
    return held.token;
  });
}

/** Says whether both are sources of the same token. */
export function areEqual(one: unknown, other: unknown): boolean {
  return typeof one === "function" && (one === other || (SOURCE in one && sourceOf(one) === sourceOf(other)));
}

/** Returns what a platform gave without white space around it; throws NoWorkloadIdentity for what is no token. */
export function checked(token: string, platform: string, isJwt: boolean): string {
  const bare = token.trim();
  if (!bare || bare.length > LONGEST_TOKEN) {
    const told = bare ? `${bare.length} characters, which is no token that a gateway takes` : "nothing";
    throw new NoWorkloadIdentity(`${platform} gave ${told}`);
  }
  if (isJwt && !JWT.test(bare)) {
    throw new NoWorkloadIdentity(`${platform} gave something that is no signed JWT`);
  }
  return bare;
}

/** Returns the `exp` of a JWT in seconds, unverified: it only says when to ask again. Undefined where there is none. */
export function unverifiedEnd(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    const end = typeof claims === "object" && claims !== null && "exp" in claims ? claims.exp : undefined;
    return typeof end === "number" ? end : undefined;
  } catch {
    return undefined;
  }
}

function named(platform: string, parameters: object, read: () => Promise<string>): WorkloadToken {
  for (const [name, value] of Object.entries(parameters)) {
    if (!String(value).trim()) {
      throw new TypeError(`${name} must say something: for an audience, the one that the gateway has for the issuer`);
    }
  }
  const source = JSON.stringify([platform, parameters]);
  return Object.assign(() => read(), { platform, [SOURCE]: source });
}

function sourceOf(source: unknown): unknown {
  return typeof source === "function" && SOURCE in source ? source[SOURCE] : undefined;
}

/** One question to the platform: whatever hangs there, whoever waits here gives up. */
async function flown(platform: string, fetched: () => Promise<string>): Promise<Kept> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const advice = "look whether the platform's token endpoint can be reached from here, and try again";
    const told = `${platform} gave no token within ${PATIENCE} seconds`;
    timer = setTimeout(() => reject(new NoWorkloadIdentity(told, { advice })), PATIENCE * 1000);
  });
  try {
    return keeping(checked(await Promise.race([fetched(), late]), platform, true));
  } catch (error) {
    if (error instanceof NoWorkloadIdentity) {
      throw error;
    }
    // NOTE: a library's words may hold anything, so only its kind is told.
    const kind = error instanceof Error ? error.constructor.name : typeof error;
    throw new NoWorkloadIdentity(`${platform} gave no token: ${kind}`);
  } finally {
    clearTimeout(timer);
  }
}

function keeping(token: string): Kept {
  const now = Date.now();
  const end = Math.min((unverifiedEnd(token) ?? 0) * 1000, now + LONGEST_KEPT * 1000);
  return { token, end, renewal: end - Math.min(MARGIN * 1000, Math.max(end - now, 0) / 2) };
}
