/** What platforms give is found and kept as the Python client does, and told in the same words. */

import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { NoWorkloadIdentity, Unauthenticated, workload } from "../src/index.js";
import { gateway, type PlatformCase, q3, thrown, world } from "./world.js";

const AUDIENCE = "https://remit.acme.example";
const VARIABLES = [
  "ACTIONS_ID_TOKEN_REQUEST_URL",
  "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
  "GITHUB_ACTIONS",
  "REMIT_ID_TOKEN",
  "AGENT_TOKEN",
  "PATH",
];

/** Does something while variables have these values. */
async function within<T>(environment: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
  const before = VARIABLES.map((name) => [name, process.env[name]] as const);
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = value;
    }
  };
  for (const [name, value] of before) {
    set(name, environment[name] ?? (name === "PATH" ? value : undefined));
  }
  try {
    return await work();
  } finally {
    for (const [name, value] of before) {
      set(name, value);
    }
  }
}

async function told({ platform, argument, environment }: PlatformCase): Promise<string> {
  return await within(environment, async () => {
    try {
      return await workload[platform](argument)();
    } catch (error) {
      assert.ok(error instanceof NoWorkloadIdentity, String(error));
      return error.message;
    }
  });
}

function onGithub(): Record<string, string> {
  return { ACTIONS_ID_TOKEN_REQUEST_URL: world.github.url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: world.github.token };
}

/** Returns a token that ends in so many seconds. */
function jwt(seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256" })}.${part({ exp: Date.now() / 1000 + seconds, jti: Math.random() })}.c2ln`;
}

test("each platform's function gives what the Python client's gives, and says what it says", async () => {
  const here: string[] = [];
  for (const one of world.platforms) {
    here.push(await told(one));
  }

  assert.deepEqual(
    here,
    world.platforms.map((one) => one.token ?? one.text),
  );
  assert.ok(world.platforms.some((one) => one.token) && world.platforms.some((one) => one.text));
});

test("GitHub gives each call a token of its own, or one for many where that is wanted", async () => {
  const [single, reused] = [workload.github(AUDIENCE), workload.github(AUDIENCE, { reuse: true })];

  const [singles, many] = await within(onGithub(), async () => [
    [await single(), await single()],
    await Promise.all([reused(), reused(), reused()]),
  ]);
  const later = await within({}, reused);

  assert.equal(new Set(singles).size, 2);
  assert.equal(new Set([...many, later]).size, 1);
});

test("equal sources give one token that is sent as both", async () => {
  const folder = await mkdtemp(join(tmpdir(), "remit-"));
  const count = join(folder, "count");
  const program = join(folder, "gp");
  await writeFile(program, `#!/bin/sh\necho called >> ${count}\nprintf %s "$TOKEN_OF_TEST"\n`);
  await chmod(program, 0o700);
  process.env.TOKEN_OF_TEST = jwt(-1); // over at once: every use would ask for another
  using remit = gateway(world.bearer, { caFile: world.ca_file, bearerToken: workload.gitpod(AUDIENCE) });
  const other = workload.gitpod(AUDIENCE);

  const wish = { subjectToken: other, allow: q3 };
  const error = await within({ PATH: `${folder}:/bin:/usr/bin` }, () =>
    thrown(Unauthenticated, remit.task("summarise Q3", wish)),
  );

  const calls = (await readFile(count, "utf8")).trim().split("\n");
  assert.equal(error.reason, "ACTOR_REJECTED");
  assert.equal(calls.length, 1);
});

test("a command that fails is told without what might be a token", async () => {
  const folder = await mkdtemp(join(tmpdir(), "remit-"));
  const secret = jwt(60);
  await writeFile(join(folder, "ona"), `#!/bin/sh\necho "no audience for ${secret}" >&2\nexit 3\n`);
  await chmod(join(folder, "ona"), 0o700);

  const error = await within({ PATH: `${folder}:/bin` }, () => thrown(NoWorkloadIdentity, workload.gitpod(AUDIENCE)()));

  assert.match(error.message, /`ona idp token` ended with 3: no audience for \*\*\*\n {2}what to do: run it inside/);
  assert.ok(!inspect(error, { depth: 9 }).includes(secret));
});

test("an audience that says nothing is refused", () => {
  assert.throws(() => workload.github(" "), /audience must say something/);
});
