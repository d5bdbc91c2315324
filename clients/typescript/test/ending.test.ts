/** How a task ends: with its block, and with its time. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Task, TaskOver } from "../src/index.js";
import { asked, gateway, proves, read, reading, SUMMARY, s3, thrown, until } from "./world.js";

proves("end", async () => {
  using remit = gateway();
  let kept: Task | undefined;

  const client = await remit.withTask("summarise Q3", await reading(), async (task) => {
    kept = task;
    const own = s3(task.awsCredentials);
    await read(own, SUMMARY);
    return own;
  });
  const over = await thrown(TaskOver, read(client, SUMMARY));
  const end = await kept?.end();

  assert.equal(await asked("end_of", { task_id: kept?.id ?? "" }), "TASK_ENDED");
  assert.match(over.message, /gives no credentials any more: it was ended\n {2}what to do: start another task/);
  assert.deepEqual(end?.grants, [kept?.grant.name]);
});

proves("end_on_error", async () => {
  using remit = gateway();
  const tasks: Task[] = [];
  const failing = async (task: Task) => {
    tasks.push(task);
    throw new Error("the report is not there");
  };
  const inBlock = async () => {
    await using task = await remit.task("summarise Q3", await reading());
    await failing(task);
  };

  const called = await thrown(Error, remit.withTask("summarise Q3", await reading(), failing));
  const left = await thrown(Error, inBlock());

  assert.deepEqual([called.message, left.message], ["the report is not there", "the report is not there"]);
  for (const task of tasks) {
    assert.equal(await asked("end_of", { task_id: task.id }), "TASK_ENDED");
  }
  assert.equal(tasks.length, 2);
});

test("a failure to end a task is thrown, and does not hide the block's own", async () => {
  const remit = gateway();
  const leaving = async () => {
    await remit.withTask("summarise Q3", await reading(), async () => remit.close());
  };
  const failing = async () => {
    const other = gateway();
    await other.withTask("summarise Q3", await reading(), async () => {
      other.close();
      throw new Error("the report is not there");
    });
  };

  const unended = await thrown(Error, leaving());
  const own = await thrown(Error, failing());

  assert.match(unended.message, /this gateway is closed: keep it open for as long as its tasks run/);
  assert.equal(own.message, "the report is not there");
});

test("whoever joins a task leaves its end to whoever started it", async () => {
  using remit = gateway();
  await using task = await remit.task("summarise Q3", await reading());

  await remit.withTask("and its drafts", await reading({ taskId: task.id }), async (joined) => {
    assert.equal(joined.id, task.id);
  });

  assert.match(await read(s3(task.awsCredentials), SUMMARY), /Revenue 857/);
});

proves("duration", async () => {
  using remit = gateway();
  await using task = await remit.task("one quick look", await reading({ duration: 15 }));
  const client = s3(task.awsCredentials);
  const { expireTime } = await task.credentials();
  await read(client, SUMMARY);

  await until(async () => Date.now() > expireTime.getTime());
  const over = await thrown(TaskOver, task.credentials());
  const told = await thrown(TaskOver, read(client, SUMMARY));

  assert.ok(expireTime.getTime() < Date.now() + 15_000);
  assert.match(over.message, /its time is over: for longer work ask for a longer duration, or leave duration out/);
  assert.equal(told.message, over.message);
});
