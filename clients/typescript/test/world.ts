/** The live sandbox that the tests run in: tests/e2e/test_typescript_client.py starts it and says where it is. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { GetObjectCommand, PutObjectCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { Capability, Gateway, type GatewayOptions, Permission, type TaskOptions } from "../src/index.js";

interface Agent {
  readonly certificate_file: string;
  readonly key_file: string;
}

interface World {
  readonly desk: string;
  readonly mtls: string;
  readonly bearer: string;
  readonly brief: string;
  readonly brief_seconds: number;
  readonly nobody: string;
  readonly ca_file: string;
  readonly agents: { readonly copilot: Agent; readonly crawler: Agent };
  readonly aws: { readonly endpoint: string; readonly region: string };
  readonly rows: Readonly<Record<string, string>>;
  readonly errors: readonly PythonError[];
  readonly intents: readonly IntentCase[];
  readonly platforms: readonly PlatformCase[];
  readonly github: { readonly url: string; readonly token: string };
}

/** What a text of an intent comes to in Python. */
export interface IntentCase {
  readonly text: string;
  readonly error?: string;
  readonly capability?: { readonly name: string; readonly parameters: Readonly<Record<string, string>> };
  readonly permission?: { readonly actions: readonly string[]; readonly resources: readonly string[] };
}

/** What a platform's function comes to in Python: a token, or an error's text. */
export interface PlatformCase {
  readonly platform: "env" | "file" | "github" | "gitlab" | "gitpod" | "kubernetes";
  readonly argument: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly token?: string;
  readonly text?: string;
}

/** An error of the Python client, and how it prints it. */
export interface PythonError {
  readonly kind: string;
  readonly message: string;
  readonly told: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly advice: string;
}

const FILE = process.env.REMIT_CLIENT_WORLD;
assert.ok(FILE, "there is no sandbox: pytest tests/e2e/test_typescript_client.py starts one and runs these tests");
export const world: World = JSON.parse(readFileSync(FILE, "utf8"));
export const q3 = new Capability("s3.read_prefix", { bucket: "reports", prefix: "2026/q3/" });
export const everything = new Permission("s3:GetObject", "arn:aws:s3:::reports/*");
export const SUMMARY = "2026/q3/summary.md";
export const OUTSIDE = "2026/q1/summary.md";

/** Declares a test that proves a row of tests/clients/behaviours.json. */
export function proves(row: string, work: () => Promise<void>): void {
  const claim = world.rows[row];
  assert.ok(claim, `the table of behaviours has no row ${row}`);
  test(`${row}: ${claim}`, { timeout: 170_000 }, work);
}

/** Asks the desk for what only the sandbox's side may do. */
export async function asked<T = string>(
  name: string,
  wanted: Readonly<Record<string, string | number>> = {},
): Promise<T> {
  const response = await fetch(`${world.desk}/${name}`, { method: "POST", body: JSON.stringify(wanted) });
  const answer = (await response.json()) as T;
  assert.equal(response.status, 200, String(answer));
  return answer;
}

/** Returns a token of alice's for an agent. */
export async function aliceToken(client = "copilot"): Promise<string> {
  return await asked("token", { user: "alice", client_id: client });
}

/** Returns the options of an agent with a certificate. */
export function proofOf(name: "copilot" | "crawler"): GatewayOptions {
  const { certificate_file, key_file } = world.agents[name];
  return { caFile: world.ca_file, certificateFile: certificate_file, keyFile: key_file };
}

/** Returns the copilot's gateway. */
export function gateway(target = world.mtls, options: GatewayOptions = proofOf("copilot")): Gateway {
  return new Gateway(target, options);
}

/** Returns what a task to read the third quarter is asked for with. */
export async function reading(more: Partial<TaskOptions> = {}): Promise<TaskOptions> {
  return { subjectToken: await aliceToken(), allow: q3, ...more };
}

/** Returns a client of the local AWS with a provider's credentials. */
export function s3(credentials: NonNullable<S3ClientConfig["credentials"]>): S3Client {
  const { endpoint, region } = world.aws;
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 });
}

/** Reads an object as text. */
export async function read(client: S3Client, key: string): Promise<string> {
  const found = await client.send(new GetObjectCommand({ Bucket: "reports", Key: key }));
  return (await found.Body?.transformToString()) ?? "";
}

/** Writes an object. */
export async function write(client: S3Client, key: string): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket: "reports", Key: key, Body: "# Q3\n" }));
}

/** Returns what a promise is rejected with, which must be of this kind. */
export async function thrown<E>(kind: new (...wanted: never[]) => E, work: Promise<unknown>): Promise<E> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof kind, `${error}`);
    return error;
  }
  assert.fail(`nothing was thrown, and not ${kind.name}`);
}

/** Returns once it is so. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 150_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, "it never came");
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
