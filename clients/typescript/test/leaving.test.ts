/** What becomes of a task whose process goes without a word. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { aliceToken, asked, proves, until } from "./world.js";

/** Starts an agent as a process of its own, and returns it with the id of the task that it works on. */
async function agent(how: string): Promise<[ChildProcess, string]> {
  const program = fileURLToPath(new URL("agent.js", import.meta.url));
  const child = spawn(process.execPath, [program, how], {
    env: { ...process.env, TOKEN: await aliceToken() },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [taskId] = await once(createInterface({ input: child.stdout }), "line");
  return [child, taskId];
}

proves("lease", async () => {
  const [child, taskId] = await agent("stays");

  await until(async () => await asked<boolean>("has_lease", { task_id: taskId }));
  child.kill("SIGKILL");
  await until(async () => (await asked<string | null>("end_of", { task_id: taskId })) !== null);

  assert.equal(await asked("end_of", { task_id: taskId }), "LEASE_LOST");
});

test("a program that forgets its task ends by itself, while the task is still watched", async () => {
  const [child] = await agent("goes");

  const [code] = await once(child, "exit");

  assert.equal(code, 0);
});
