// An agent that shows all that it has, in every way in which JavaScript shows things, where it goes well and where it does not.
import { readFileSync, writeFileSync } from "node:fs";
import { inspect } from "node:util";

const world = JSON.parse(readFileSync(process.env.REMIT_SHOWN, "utf8"));
const { Capability, Credentials, Gateway, Permission } = await import(world.package);
const q3 = new Capability("s3.read_prefix", { bucket: "reports", prefix: "2026/q3/" });
const everything = new Permission("s3:GetObject", "arn:aws:s3:::reports/*");
const byCertificate = { caFile: world.ca_file, certificateFile: world.certificate, keyFile: world.key };
const given = [];
const { user, crawler, agent, tampered, canary, broken } = world.tokens;
// After all is said: what a leak would look like, for whoever looks for leaks to prove that they would find it.
process.on("exit", () => {
  const held = [...given, ...Object.values(world.tokens), readFileSync(world.key, "utf8")];
  console.log(`\n${world.leaks}\n${inspect(held, { maxStringLength: null, breakLength: 80 })}`);
});

function show(...values) {
  for (const value of values) {
    for (const options of [{}, { depth: 20, showHidden: true, getters: true, showProxy: true, maxStringLength: null }]) {
      console.log(inspect(value, options));
    }
    console.log("%s %o %O %j", value, value, value, value);
    console.error(value);
    console.log(JSON.stringify(value), String(value));
    if (!value?.secretAccessKey || value instanceof Credentials) {
      // What the AWS SDK is given has plain properties, because the SDK copies it: taken apart, it shows them.
      console.log(JSON.stringify({ ...value }), Object.entries(value ?? {}));
      console.table([value]);
    }
    if (value instanceof Error) {
      console.log(value.stack, inspect(value.cause, { depth: 20, showHidden: true }), value.advice, value.reason);
    }
  }
}

async function fails(work) {
  try {
    await work();
  } catch (error) {
    show(error);
    console.log(`failed ${error.reason ?? error.name}`);
    return;
  }
  throw new Error("it was to fail");
}

function hold(credentials) {
  given.push(credentials.secretAccessKey, credentials.sessionToken);
  writeFileSync(world.given, JSON.stringify(given), { mode: 0o600 });
}

const gateway = new Gateway(world.mtls, byCertificate);
const wanted = { subjectToken: user, allow: q3 };
await gateway.withTask("summarise Q3", wanted, async (task) => {
  const credentials = await task.credentials();
  hold(credentials);
  const part = await task.attenuate(q3);
  hold(await part.credentials());
  show(gateway, task, task.grant, credentials, await task.awsCredentials(), task.awsCredentials, part, wanted.allow);
  await fails(() => task.attenuate(everything));
});
show(await gateway.preview("look", wanted), await gateway.whoami({ subjectToken: user }));
for (const allow of [everything, new Permission("iam:*", "*"), user]) {
  await fails(() => gateway.task("x", { ...wanted, allow }));
}
for (const subjectToken of [tampered, crawler, canary, broken, () => tampered]) {
  await fails(() => gateway.task("x", { ...wanted, subjectToken }));
  await fails(() => gateway.whoami({ subjectToken }));
}
for (const more of [{ requestId: user }, { taskId: user }, { labels: { token: user } }]) {
  await fails(() => gateway.task("x", { ...wanted, ...more, allow: everything }));
}
for (const bearerToken of [agent, tampered, broken, () => canary]) {
  await fails(async () => {
    const other = new Gateway(world.bearer, { caFile: world.ca_file, bearerToken });
    show(other);
    await other.task("x", { subjectToken: tampered, allow: q3 }).finally(() => other.close());
  });
}
const nowhere = new Gateway("127.0.0.1:1", { ...byCertificate, timeout: 1 });
await fails(() => nowhere.task("x", wanted));
nowhere.close();
// The end is a crash: an error that nobody catches, with a token in hand.
await gateway.task("x", { ...wanted, subjectToken: tampered });
