/** What people have to approve first. */

import assert from "node:assert/strict";
import { ApprovalPending, Permission } from "../src/index.js";
import { asked, gateway, proves, reading, s3, thrown, write } from "./world.js";

const PUBLISHED = "2026/q3/by-node.md";
const publishing = new Permission("s3:PutObject", `arn:aws:s3:::reports/${PUBLISHED}`);

proves("approval", async () => {
  using remit = gateway();
  const wanted = await reading({ allow: publishing });

  const pending = await thrown(ApprovalPending, remit.task("publish Q3", wanted));
  await asked("approve", { approval: pending.approval, digest: pending.digest });
  await using task = await remit.task("publish Q3", { ...wanted, requestId: pending.requestId });
  await write(s3(task.awsCredentials), PUBLISHED);

  assert.match(pending.approval, /^approvals\/[a-z2-7]{26}$/);
  assert.deepEqual([pending.reason, pending.remedy], ["APPROVAL_PENDING", "ASK_APPROVAL"]);
  assert.ok(pending.advice.includes(`1 of security must approve ${pending.approval}`));
  assert.ok(pending.advice.includes(`requestId: "${pending.requestId}"`));
  assert.equal(task.id, pending.taskId);
});

proves("approval", async () => {
  using remit = gateway();
  const heard: ApprovalPending[] = [];
  const onPending = (pending: ApprovalPending) => {
    heard.push(pending);
    void asked("approve", { approval: pending.approval, digest: pending.digest });
  };
  const wanted = await reading({ allow: publishing });

  await using task = await remit.task("publish Q3", { ...wanted, approval: "wait", onPending });
  const given = new AbortController();
  const left = remit.task("publish Q3", {
    ...wanted,
    approval: "wait",
    signal: given.signal,
    onPending: (pending) => {
      heard.push(pending);
      given.abort(new Error("enough"));
    },
  });
  const gaveUp = await thrown(Error, left);

  assert.equal(heard[0]?.taskId, task.id);
  assert.equal(gaveUp.message, "enough");
  assert.equal(heard.length, 2);
});
