/** How credentials are kept: renewed, given while renewing fails, dropped when the task is revoked. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type RemitError, TaskOver, Unavailable } from "../src/index.js";
import { relay } from "./relay.js";
import { aliceToken, asked, gateway, proves, read, reading, SUMMARY, s3, thrown, until, world } from "./world.js";

const brief = gateway(world.brief);

proves("refresh", async () => {
  let times = 0;
  const subjectToken = async () => {
    times += 1;
    return await aliceToken();
  };
  await using task = await brief.task("summarise Q3", await reading({ subjectToken }));
  const first = await task.credentials();
  const client = s3(task.awsCredentials);
  await read(client, SUMMARY);

  await until(async () => Date.now() > first.expireTime.getTime() - 1500); // within its last sixth: everybody waits
  const together = await Promise.all(Array.from({ length: 20 }, () => task.credentials()));
  await until(async () => Date.now() > first.expireTime.getTime());
  const text = await read(client, SUMMARY);

  const [second] = together;
  assert.notEqual(second?.accessKeyId, first.accessKeyId);
  assert.equal(new Set(together.map((one) => one.accessKeyId)).size, 1);
  assert.equal(times, 2);
  assert.equal(task.grant.issuances.length, 2);
  assert.match(text, /Revenue 857/);
});

proves("outage", async () => {
  const warnings: string[] = [];
  const hear = (warning: Error) => warnings.push(warning.message);
  process.on("warning", hear);
  const task = await brief.task("summarise Q3", await reading());
  const first = await task.credentials();
  await asked("kill_brief");

  await until(async () => Date.now() > first.expireTime.getTime() - 4000); // within its last third
  const kept = await task.credentials();
  const text = await read(s3(task.awsCredentials), SUMMARY);
  await until(async () => Date.now() > first.expireTime.getTime());
  const error = await thrown(Unavailable, task.credentials());

  process.off("warning", hear);
  task.forget();
  assert.equal(kept.accessKeyId, first.accessKeyId);
  assert.match(text, /Revenue 857/);
  assert.equal(error.reason, "UNAVAILABLE");
  assert.ok(warnings.some((text) => text.includes("were not renewed (UNAVAILABLE); they work until")));
  assert.ok(
    warnings.some((text) => text.includes("cannot be watched (UNAVAILABLE); it ends when that goes on for 60 s")),
  );
});

proves("revoke", async () => {
  using remit = gateway();
  const task = await remit.task("summarise Q3", await reading());
  const client = s3(task.awsCredentials);
  await read(client, SUMMARY);

  await asked("revoke", { task_id: task.id });
  let over: RemitError | undefined;
  await until(async () => {
    over = await task.credentials().then(
      () => undefined,
      (error) => error,
    );
    return over !== undefined;
  });
  const told = await thrown(TaskOver, read(client, SUMMARY));

  assert.ok(over instanceof TaskOver);
  assert.deepEqual([over.reason, over.cause, told.cause], ["GRANT_NOT_LIVE", "REQUESTED", "REQUESTED"]);
  assert.match(over.message, /(it was revoked|the gateway ended it) \(REQUESTED\)/);
  assert.match(over.advice, /find out from the security team/);
});

test("a watcher whose connection breaks comes back, and hears of a revoke", async () => {
  await using way = await relay(world.mtls);
  using remit = gateway(way.address);
  const task = await remit.task("summarise Q3", await reading());
  await until(async () => await asked<boolean>("has_lease", { task_id: task.id }));

  const before = way.opened();
  way.hangUp();
  await until(async () => way.opened() > before);
  await asked("revoke", { task_id: task.id });
  await until(async () => task.isOver);

  const over = await thrown(TaskOver, task.credentials());
  assert.equal(over.cause, "REQUESTED");
});
