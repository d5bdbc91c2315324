/** Texts of intents come to what they come to in the Python client, and mistakes are told in the same words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Capability, InvalidRequest, parseAllow } from "../src/index.js";
import { gateway, type IntentCase, proves, read, reading, SUMMARY, s3, thrown, world } from "./world.js";

/** Reads a text, as the Python side writes down what it reads. */
function parsed(text: string): Omit<IntentCase, "text"> {
  try {
    const item = parseAllow(text);
    if (item instanceof Capability) {
      return { capability: { name: item.name, parameters: { ...item.parameters } } };
    }
    return { permission: { actions: [...item.actions], resources: [...item.resources] } };
  } catch (error) {
    assert.ok(error instanceof InvalidRequest, String(error));
    return { error: error.message };
  }
}

test("every text comes to what it comes to in Python", () => {
  for (const { text, ...python } of world.intents) {
    assert.deepEqual(parsed(text), python, text);
  }
  assert.ok(world.intents.length > 300);
  assert.ok(world.intents.some((one) => one.error) && world.intents.some((one) => one.capability));
});

test("JSON and files are left to the clients that read them", async () => {
  using remit = gateway();
  const wanted = await reading({ allow: ["read s3://reports/a.csv", '[{"type": "remit_task"}]'] });

  const error = await thrown(InvalidRequest, remit.task("summarise Q3", wanted));

  assert.equal(error.violations[0]?.path, "allow[1]");
  assert.match(error.message, /JSON and files are read by the Python client and the remit command/);
});

proves("issue", async () => {
  using remit = gateway();

  await using task = await remit.task("summarise Q3", await reading({ allow: "read s3://reports/2026/q3/*" }));

  assert.match(await read(s3(task.awsCredentials), SUMMARY), /Revenue 857/);
});
