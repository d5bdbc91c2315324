/** What a task gets, and how a no is told. */

import assert from "node:assert/strict";
import { copyFile, mkdtemp, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { InvalidRequest, Permission, Refused, Unauthenticated, Unavailable } from "../src/index.js";
import { relay } from "./relay.js";
import {
  aliceToken,
  asked,
  everything,
  gateway,
  OUTSIDE,
  proofOf,
  proves,
  q3,
  read,
  reading,
  SUMMARY,
  s3,
  thrown,
  world,
} from "./world.js";

proves("issue", async () => {
  using remit = gateway();

  const [text, refused] = await remit.withTask("summarise Q3", await reading(), async (task) => {
    const client = s3(task.awsCredentials);
    return [await read(client, SUMMARY), await thrown(Error, read(client, OUTSIDE))];
  });

  assert.match(text, /Revenue 857/);
  assert.equal(refused.name, "AccessDenied");
});

proves("narrow", async () => {
  using remit = gateway();

  await using task = await remit.task("read it all", await reading({ allow: everything, narrow: true }));
  const client = s3(task.awsCredentials);

  assert.match(task.grant.sessionPolicy, /arn:aws:s3:::reports\/2026\/\*/);
  assert.match(await read(client, SUMMARY), /Revenue 857/);
});

proves("refusal", async () => {
  using remit = gateway();
  const wanted = await reading({ allow: everything });

  const no = await thrown(Refused, remit.task("read it all", wanted));
  const preview = await remit.preview("read it all", wanted);
  await using task = await remit.task("read what may be had", { ...wanted, allow: no.offer });

  assert.deepEqual([no.reason, no.remedy], ["CEILING_EXCEEDED", "NARROW"]);
  assert.deepEqual([no.failures[0]?.action, no.failures[0]?.rule], ["s3:GetObject", "entitlements"]);
  assert.match(no.message, /what to do: ask with allow: error.offer, which is s3:GetObject on arn:aws:s3:::reports/);
  assert.ok(no.requestId && no.message.includes(no.requestId));
  assert.equal(preview.outcome, "would_refuse");
  assert.ok(no.message.startsWith(String(preview)));
  assert.match(await read(s3(task.awsCredentials), SUMMARY), /Revenue 857/);
});

proves("invalid", async () => {
  using remit = gateway();
  const wrong = new Permission("s3:GetObject", "arn:aws:s3:::reports/*", []);
  const wanted = await reading({ allow: wrong, labels: { "Not A Key": "of labels" } });

  const error = await thrown(InvalidRequest, remit.task("summarise Q3", wanted));
  const token = await thrown(InvalidRequest, remit.task("summarise Q3", { ...wanted, subjectToken: "two words" }));

  assert.deepEqual([error.reason, error.remedy], ["INVALID_REQUEST", "CORRECT"]);
  assert.match(error.violations[0]?.path ?? "", /^intent.labels/);
  assert.ok(error.violations[0]?.rule);
  assert.doesNotMatch(error.message, /Not A Key|of labels/);
  assert.deepEqual(token.violations, [
    { path: "subjectToken", rule: "must be ASCII without spaces or control characters" },
  ]);
  assert.doesNotMatch(token.message, /two words/);
});

proves("unauthenticated", async () => {
  using remit = gateway();
  const expired = await asked("token", { user: "alice", age: 7200 });
  const [head, claims = "?"] = expired.split(".");
  const forged = `${head}.${claims}.${"A".repeat(342)}`;

  const old = await thrown(Unauthenticated, remit.task("summarise Q3", await reading({ subjectToken: expired })));
  const bad = await thrown(Unauthenticated, remit.task("summarise Q3", await reading({ subjectToken: forged })));

  assert.deepEqual([old.reason, old.remedy], ["SUBJECT_TOKEN_REJECTED", "REAUTHENTICATE"]);
  assert.match(old.advice, /the user has to sign in again/);
  assert.deepEqual([bad.reason, bad.remedy], ["SUBJECT_TOKEN_REJECTED", "GIVE_UP"]);
  assert.ok(![old, bad].some((error) => inspect(error, { depth: 9, showHidden: true }).includes(claims)));
});

proves("unreachable", async () => {
  const wanted = await reading();
  using nobody = gateway(world.nobody);
  using wrongPort = gateway(world.bearer);
  const { caFile: _, ...untrusting } = proofOf("copilot");
  using stranger = gateway(world.mtls, untrusting);
  await using elsewhere = await relay(world.mtls, "127.0.0.2"); // an address that is not in the gateway's certificate
  using misnamed = gateway(elsewhere.address);
  await using closed = await relay();
  using hungUpOn = gateway(closed.address);
  using certificateless = gateway(world.mtls, { caFile: world.ca_file, bearerToken: "of.another.port" });

  const gone = await thrown(Unavailable, nobody.task("summarise Q3", wanted));
  const hungUp = await thrown(Unavailable, hungUpOn.task("summarise Q3", wanted));
  const wrong = await thrown(Error, wrongPort.task("summarise Q3", wanted));
  const untrusted = await thrown(Unavailable, stranger.task("summarise Q3", wanted));
  const other = await thrown(Unavailable, misnamed.task("summarise Q3", wanted));
  const shut = await thrown(Unavailable, certificateless.task("summarise Q3", wanted));

  assert.deepEqual([gone.reason, gone.remedy], ["UNAVAILABLE", "RETRY_LATER"]);
  assert.match(gone.sentence, /^the gateway at 127.0.0.1:1 cannot be reached: .*ECONNREFUSED/);
  assert.match(gone.advice, /check that the gateway runs at this address, that caFile vouches for it/);
  assert.match(hungUp.sentence, /cannot be reached: .*the other side hung up/);
  assert.equal(closed.opened(), 5);
  assert.match(wrong.message, /ACTOR_REJECTED/);
  assert.match(untrusted.sentence, /cannot be reached: .* certificate/);
  assert.match(other.sentence, /cannot be reached: .*127.0.0.2 is not in the cert's list/);
  assert.match(shut.sentence, /its port may want a client certificate/);
});

proves("token_source", async () => {
  using remit = gateway();
  let times = 0;
  const subjectToken = async () => {
    times += 1;
    return await aliceToken();
  };
  const failing = () => Promise.reject(new Error("the user has gone"));

  await remit.withTask("summarise Q3", await reading({ subjectToken }), async () => undefined);
  await remit.preview("summarise Q3", await reading({ subjectToken }));
  const error = await thrown(Error, remit.task("summarise Q3", await reading({ subjectToken: failing })));

  assert.equal(times, 2);
  assert.equal(error.message, "the user has gone");
});

proves("certificates", async () => {
  const folder = await mkdtemp(join(tmpdir(), "remit-"));
  const files = { certificateFile: join(folder, "agent.pem"), keyFile: join(folder, "agent.key") };
  const become = async (name: "copilot" | "crawler") => {
    const { certificateFile = "", keyFile = "" } = proofOf(name);
    await copyFile(certificateFile, `${files.certificateFile}.new`);
    await copyFile(keyFile, files.keyFile);
    await rename(`${files.certificateFile}.new`, files.certificateFile);
  };
  await become("copilot");
  using remit = gateway(world.mtls, { caFile: world.ca_file, ...files });

  const first = await remit.withTask("summarise Q3", await reading(), async (task) => task.grant.actor);
  await become("crawler");
  const subjectToken = await aliceToken("crawler");
  const second = await remit.withTask(
    "summarise Q3",
    await reading({ subjectToken }),
    async (task) => task.grant.actor,
  );

  assert.match(first, /copilot$/);
  assert.match(second, /crawler$/);
});

proves("secrets", async () => {
  const subjectToken = await aliceToken("reporter");
  const bearerToken = await asked("agent_token", { agent: "reporter" });
  using remit = gateway(world.bearer, { caFile: world.ca_file, bearerToken });
  await using task = await remit.task("summarise Q3", { subjectToken, allow: q3 });
  const credentials = await task.credentials();
  const identity = await task.awsCredentials();
  const refused = await thrown(Refused, remit.task("read it all", { subjectToken, allow: everything }));
  const secrets = [subjectToken, bearerToken, credentials.secretAccessKey, credentials.sessionToken];

  const values: unknown[] = [remit, task, credentials, identity, refused, task.grant, { credentials, identity }];
  const told = values.flatMap((value) => [
    inspect(value, { depth: 20, showHidden: true, getters: true, maxStringLength: null }),
    JSON.stringify(value),
    String(value),
  ]);

  assert.deepEqual([identity.secretAccessKey, identity.sessionToken], secrets.slice(2));
  for (const text of told) {
    assert.ok(!secrets.some((secret) => text?.includes(secret)), "a secret is shown");
  }
});
