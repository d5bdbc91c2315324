/** Errors say what the Python client's do, in the words of this language. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import * as remit from "../src/index.js";
import { type PythonError, world } from "./world.js";

/** What Python's arguments are called here. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/narrow=True/g, "narrow: true"],
  [/allow=error/g, "allow: error"],
  [/request_id='([^']*)'/g, 'requestId: "$1"'],
  [/certificate_file/g, "certificateFile"],
  [/key_file/g, "keyFile"],
  [/bearer_token/g, "bearerToken"],
  [/subject_token/g, "subjectToken"],
  [/ca_file/g, "caFile"],
];
type Errors = Record<string, new (sentence: string, told: object) => remit.RemitError>;
const CLASSES = remit as unknown as Errors;

function here(text: string): string {
  return WORDS.reduce((told, [python, ours]) => told.replace(python, ours), text);
}

function permission(told: Readonly<Record<string, string[] | string[][]>>): remit.Permission {
  const conditions = ((told.conditions ?? []) as string[][]).map(
    ([operator = "", key = "", ...values]) => new remit.Condition(operator, key, values),
  );
  return new remit.Permission(told.actions as string[], told.resources as string[], conditions);
}

function made({ kind, message, told }: PythonError): remit.RemitError {
  const values: Record<string, unknown> = { ...told };
  if (Array.isArray(told.offer)) {
    values.offer = told.offer.map(permission);
  }
  if (Array.isArray(told.split)) {
    values.split = told.split.map((part) => part.map(permission));
  }
  const Kind = CLASSES[kind];
  assert.ok(Kind, kind);
  return new Kind(message, values);
}

test("every error says what the Python client's says", () => {
  const errors = world.errors.map((python) => ({ python, error: made(python) }));

  for (const { python, error } of errors) {
    assert.equal(error.message, here(python.text));
    assert.equal(error.advice, here(python.advice));
    assert.deepEqual([error.name, error.reason, error.remedy], [python.kind, python.told.reason, python.told.remedy]);
    assert.ok(error instanceof remit.RemitError);
  }
  assert.ok(errors.length > 25);
});

test("an error is whole in JSON and in a log", () => {
  const error = new remit.RateLimited("Too many.", { reason: "RATE_LIMITED", retryAfter: 7 });

  const told = JSON.parse(JSON.stringify(error));

  assert.deepEqual([told.name, told.reason, told.retryAfter], ["RateLimited", "RATE_LIMITED", 7]);
  assert.match(told.message, /^RATE_LIMITED: Too many.\n {2}what to do: .* try again in 7 s$/);
  assert.match(inspect(error), /^RateLimited: RATE_LIMITED: Too many./);
});

test("options that contradict each other are told before anything is sent", () => {
  const ask = (options: remit.GatewayOptions) => () => new remit.Gateway(world.mtls, options);
  const { certificate_file: certificateFile, key_file: keyFile } = world.agents.copilot;
  const other = world.agents.crawler.key_file;

  assert.throws(ask({}), /say who this agent is: either certificateFile and keyFile, or bearerToken/);
  assert.throws(ask({ certificateFile }), /certificateFile and keyFile belong together/);
  assert.throws(ask({ certificateFile, keyFile: other }), /does not belong to certificateFile/);
  assert.throws(ask({ certificateFile: keyFile, keyFile }), /is not a file of certificates in PEM/);
  assert.throws(ask({ certificateFile, keyFile, caFile: keyFile }), /caFile .* is not a file of certificates in PEM/);
  assert.throws(ask({ certificateFile, keyFile, timeout: 0 }), /timeout must be more than 0 seconds/);
  assert.throws(ask({ certificateFile: "/nowhere/agent.pem", keyFile }), /ENOENT/);
  for (const target of [
    "https://gateway:1",
    "gateway",
    "gateway/:1",
    "a@gateway:1",
    "gateway:443?a:1",
    "gateway:x",
    ":1",
  ]) {
    assert.throws(() => new remit.Gateway(target, { bearerToken: "t" }), /target is host:port/);
  }
  assert.equal(String(new remit.Gateway("[::1]:443", { bearerToken: "t" })), "<Gateway [::1]:443>");
});
