/** Agents that hand work on: what the one below gets at AWS, and that it ends with the one above. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequest, NotFound, Permission, Refused, TaskOver } from "../src/index.js";
import {
  aliceToken,
  asked,
  gateway,
  proofOf,
  proves,
  read,
  reading,
  SUMMARY,
  s3,
  thrown,
  until,
  world,
} from "./world.js";

const CRAWLER = "spiffe://remit.sandbox/agent/crawler";
const q3 = new Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*");
const summary = new Permission("s3:GetObject", `arn:aws:s3:::reports/${SUMMARY}`);
const q2 = new Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*");

function crawler() {
  return gateway(world.mtls, proofOf("crawler"));
}

proves("delegate", async () => {
  using copilot = gateway();
  using below = crawler();
  const subjectToken = await aliceToken("crawler");
  await using above = await copilot.task("summarise Q3", await reading({ allow: q3 }));

  const { taskId, depth } = await above.delegate(CRAWLER, { purpose: "read the summary", maxDuration: 300 });
  const task = await below.task("read the summary", { subjectToken, allow: summary, taskId });
  const client = s3(task.awsCredentials);
  const text = await read(client, SUMMARY);
  const beyond = await thrown(Error, read(client, "2026/q3/revenue.csv"));
  const wider = await thrown(Refused, below.task("read Q2", { subjectToken, allow: q2, taskId }));
  await above.end();
  await until(async () => task.isOver);
  const over = await thrown(TaskOver, read(client, SUMMARY));

  assert.match(text, /Revenue 857/);
  assert.equal(depth, 1);
  assert.equal(beyond.name, "AccessDenied");
  assert.deepEqual([wider.reason, wider.failures[0]?.rule], ["CEILING_EXCEEDED", "parent_task"]);
  assert.deepEqual([task.grant.parent, task.grant.actor], [above.grant.name, CRAWLER]);
  assert.equal(over.reason, "GRANT_NOT_LIVE");
});

test("a sub-agent that leaves its block ends its own task, and not the one above", async () => {
  using copilot = gateway();
  using below = crawler();
  const subjectToken = await aliceToken("crawler");
  await using above = await copilot.task("summarise Q3", await reading({ allow: q3 }));
  const { taskId } = await above.delegate(CRAWLER);
  const wanted = { subjectToken, allow: summary, taskId };

  await below.withTask("read the summary", wanted, async (first) => {
    await below.withTask("read it again", wanted, async () => undefined); // joins
    await read(s3(first.awsCredentials), SUMMARY);
  });
  const again = await thrown(TaskOver, below.task("and again", wanted));

  assert.equal(again.reason, "GRANT_NOT_LIVE");
  assert.equal(await asked("end_of", { task_id: taskId }), "TASK_ENDED");
  assert.match(await read(s3(above.awsCredentials), SUMMARY), /Revenue 857/);
});

test("only the agent that was named has any use of the id, and a name that no agent has is told", async () => {
  using copilot = gateway();
  await using above = await copilot.task("summarise Q3", await reading({ allow: q3 }));
  const { taskId } = await above.delegate(CRAWLER);

  const mine = await thrown(NotFound, copilot.task("mine", await reading({ allow: summary, taskId })));
  const nobody = await thrown(InvalidRequest, above.delegate("crawler"));

  assert.equal(mine.reason, "NOT_FOUND");
  assert.match(nobody.message, /did you mean spiffe:\/\/remit\.sandbox\/agent\/crawler/);
});
