/** Permissions and capabilities as text: `s3:GetObject=arn:...`, `s3.read_prefix bucket=...`, `read s3://...`. */

import type { InvalidRequest } from "../errors.js";
import { Capability, Permission } from "../intent.js";
import { checkedCapability, checkedPermission, HIDDEN, PERMISSION_EXAMPLE } from "./grammar.js";
import { wrong } from "./mistakes.js";
import { shortForm, unknownForm } from "./shortForms.js";

const PERMISSION_FORM = "ACTION[,ACTION]=RESOURCE[,RESOURCE]";
const CAPABILITY_FORM = "NAME PARAMETER=VALUE ...";
const CAPABILITY_EXAMPLE = 's3.read_prefix bucket=reports prefix=2026/q3/ (with spaces: prefix="2026/q 3/")';
const LONGEST_TEXT = 65_536;
const SHORT_FORM = /^([A-Za-z]{1,32}) +([A-Za-z0-9]{1,32}):\/\/(.*)$/s;
const CAPABILITY_NAME = /^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z0-9_.]*$/;
const PARAMETER = /([A-Za-z0-9_-]+)=(?:"([^"]*)"|([^\s"]*))(?=\s|$)/g;
// A key may hold a comma, so that only one before another ARN parts two resources.
const NEXT_RESOURCE = /,\s*(?=arn:)/;

/** Returns what one text asks for; throws InvalidRequest with what is wrong, the nearest form and an example. */
export function parseAllow(text: string, path = "allow"): Permission | Capability {
  if (typeof text !== "string") {
    throw new TypeError("the text of an intent is a string");
  }
  if (text.length > LONGEST_TEXT) {
    throw wrong(path, `is longer than ${LONGEST_TEXT} characters`);
  }
  if (!text.trim()) {
    throw wrong(path, "is empty", { example: PERMISSION_EXAMPLE });
  }
  if (HIDDEN.test(text)) {
    throw wrong(path, "holds control characters", { example: PERMISSION_EXAMPLE });
  }
  const line = bare(text);
  if (/^[{[@]/.test(line)) {
    const rule =
      "JSON and files are read by the Python client and the remit command: give a Permission or a Capability";
    throw wrong(path, rule, { example: PERMISSION_EXAMPLE });
  }
  return parsed(line, path);
}

function parsed(line: string, path: string): Permission | Capability {
  const short = SHORT_FORM.exec(line);
  if (short !== null) {
    const [, verb = "", service = "", place = ""] = short;
    return shortForm(verb, service, place, path);
  }
  const [word = ""] = line.split(" ", 1);
  if (word.includes("=") || word.includes(":") || line.includes("=arn:")) {
    return permission(line, path);
  }
  if (CAPABILITY_NAME.test(word)) {
    return capability(word, line.slice(word.length), path);
  }
  throw unknown(line, path);
}

function permission(line: string, path: string): Permission {
  const at = line.indexOf("=");
  const resources = at < 0 ? "" : line.slice(at + 1);
  if (!bare(resources)) {
    const more = { form: PERMISSION_FORM, example: PERMISSION_EXAMPLE };
    throw wrong(path, "a permission says on what, after a '='", more);
  }
  const patterns = resources.split(NEXT_RESOURCE).map(bare);
  if (patterns.some((pattern) => /,\s*\*$/.test(pattern))) {
    // A key that ends with ",*", or a second resource "*"?
    const rule = "a resource that ends with ',*' can be read in two ways: give it in a text of its own, or as JSON";
    throw wrong(path, rule);
  }
  return checkedPermission(new Permission(line.slice(0, at).split(",").map(bare), patterns), path);
}

function capability(name: string, rest: string, path: string): Capability {
  const more = { form: CAPABILITY_FORM, example: CAPABILITY_EXAMPLE };
  const parameters = new Map<string, string>();
  let at = 0;
  for (const found of rest.matchAll(PARAMETER)) {
    if (bare(rest.slice(at, found.index))) {
      break;
    }
    const [whole, key = "", quoted, plain = ""] = found;
    if (parameters.has(key)) {
      throw wrong(path, "gives a parameter twice", more);
    }
    parameters.set(key, quoted ?? plain);
    at = found.index + whole.length;
  }
  if (bare(rest.slice(at))) {
    throw wrong(path, "after the name of a capability come its parameters, each as name=value", more);
  }
  return checkedCapability(new Capability(name, Object.fromEntries(parameters)), path);
}

/** Returns the error for a text of no known form; a verb near one of the short forms leads to that. */
function unknown(line: string, path: string): InvalidRequest {
  const rule = `is neither a permission (${PERMISSION_FORM}) nor a capability (${CAPABILITY_FORM}) nor a short form`;
  const [verb = "", ...rest] = line.split(" ");
  const [service = ""] = bare(rest.join(" ")).split(/[:/]/);
  return unknownForm(verb, service, path, rule);
}

/** Returns a text without the spaces around it. */
function bare(text: string): string {
  return text.replace(/^ +/, "").replace(/ +$/, "");
}
