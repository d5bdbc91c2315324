/** Less for one call, and what the gateway says of who calls and what became of a request. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Capability, NotFound, Refused, TaskOver } from "../src/index.js";
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
  await until(async () => Date.now() > less.credentials.expireTime.getTime());
  const over = await thrown(TaskOver, read(one, SUMMARY));

  assert.match(text, /Revenue 857/);
  assert.equal(beyond.name, "AccessDenied");
  assert.deepEqual([wider.reason, wider.remedy], ["CEILING_EXCEEDED", "NARROW"]);
  assert.equal(less.grant.parent, task.grant.name);
  assert.equal(narrowed.grant.parent, task.grant.name);
  assert.ok(less.credentials.expireTime < (await task.credentials()).expireTime);
  assert.match(over.message, /its time is over/);
  assert.match(await read(whole, SUMMARY), /Revenue 857/);
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
