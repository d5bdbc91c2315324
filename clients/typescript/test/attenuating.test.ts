/** Less for one call, and what the gateway says of who calls and what became of a request. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attenuated, Capability, NotFound, Refused, TaskOver } from "../src/index.js";
import {
  aliceToken,
  everything,
  gateway,
  proofOf,
  proves,
  q3,
  read,
  reading,
  SUMMARY,
  s3,
  thrown,
  until,
} from "./world.js";

const summary = new Capability("s3.read_object", { bucket: "reports", key: SUMMARY });
const OTHER = "2026/q3/revenue.csv";

proves("attenuate", async () => {
  using remit = gateway();
  await using task = await remit.task("summarise Q3", await reading());
  const whole = s3(task.awsCredentials);

  const less = await task.attenuate(summary, { duration: 15, purpose: "read one file" });
  const one = s3(less.awsCredentials);
  const text = await read(one, SUMMARY);
  const beyond = await thrown(Error, read(one, OTHER));
  const wider = await thrown(Refused, task.attenuate(everything));
  const narrowed = await task.attenuate([q3, everything], { narrow: true });
  await until(async () => Date.now() > less.grant.expireTime.getTime());
  const over = await thrown(TaskOver, read(one, SUMMARY));

  assert.match(text, /Revenue 857/);
  assert.equal(beyond.name, "AccessDenied");
  assert.deepEqual([wider.reason, wider.remedy], ["CEILING_EXCEEDED", "NARROW"]);
  assert.equal(less.grant.parent, task.grant.name);
  assert.equal(narrowed.grant.parent, task.grant.name);
  assert.ok((await narrowed.credentials()).expireTime < (await task.credentials()).expireTime);
  assert.match(over.message, /the time of this part is over: attenuate the task again for the next call/);
  assert.match(await read(whole, SUMMARY), /Revenue 857/);
});

test("a part of a task is over with it, and when its block is left", async () => {
  using remit = gateway();
  const task = await remit.task("summarise Q3", await reading());
  const part = await task.attenuate(summary);
  let left: Attenuated;
  {
    using own = await task.attenuate(summary);
    left = own;
    await read(s3(own.awsCredentials), SUMMARY);
  }

  const forgotten = await thrown(TaskOver, left.credentials());
  await task.end();
  const over = await thrown(TaskOver, read(s3(part.awsCredentials), SUMMARY));

  assert.match(forgotten.message, /its part was forgotten/);
  assert.match(over.message, /it was ended/);
});

test("an agent is told who it is, and for whom", async () => {
  using remit = gateway();

  const alone = await remit.whoami();
  const forAlice = await remit.whoami({ subjectToken: await aliceToken() });

  assert.match(alone.actor, /agent\/copilot$/);
  assert.equal(alone.subject, undefined);
  assert.equal(forAlice.subject?.id, "alice");
  assert.deepEqual([...forAlice.groups].sort(), ["analysts", "engineers"]);
  assert.ok((forAlice.subjectTokenExpireTime?.getTime() ?? 0) > Date.now());
});

test("what became of a request is told to whoever made it, and to nobody else", async () => {
  using remit = gateway();
  using crawler = gateway(undefined, proofOf("crawler"));
  const no = await thrown(Refused, remit.task("read it all", await reading({ allow: everything })));

  const decision = await remit.explain(no);
  const stranger = await thrown(NotFound, crawler.explain(no.requestId ?? ""));

  assert.equal(decision.outcome, "would_refuse");
  assert.ok(String(decision).startsWith("CEILING_EXCEEDED: "));
  assert.equal(stranger.reason, "NOT_FOUND");
});

test("a task is ended by its id, too", async () => {
  using remit = gateway();
  const task = await remit.task("summarise Q3", await reading());

  const end = await remit.endTask(task.id);
  await until(async () => task.isOver);
  const stranger = await thrown(NotFound, remit.endTask("a".repeat(26)));

  assert.deepEqual(end.grants, [task.grant.name]);
  assert.equal(stranger.reason, "NOT_FOUND");
});
