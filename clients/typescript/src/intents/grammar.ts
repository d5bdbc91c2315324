/** The rules that every text of an intent follows: the gateway's own, checked before anything is sent. */

import type { Capability, Permission } from "../intent.js";
import { wrong } from "./mistakes.js";

const MOST_ACTIONS = 50;
const MOST_RESOURCES = 50;
const MOST_PARAMETERS = 16;
const LONGEST_ACTION = 128;
const LONGEST_RESOURCE = 1024;
const LONGEST_VALUE = 512;
export const PERMISSION_EXAMPLE = "s3:GetObject=arn:aws:s3:::reports/2026/*";

// Controls, line separators, surrogates, and what changes how text reads without being seen (Trojan Source).
export const HIDDEN = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/u;
const ACTION = /^[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,64}$/;
const RESOURCE =
  /^(?:\*|arn:[a-z0-9-]{1,64}:[a-z0-9-]{1,64}:(?:\*|[a-z0-9-]{0,64}):(?:\*|[a-z0-9-]{0,64}):[ -~]*[!-~])$/;
const CAPABILITY = /^[a-z][a-z0-9_.]{0,63}$/;
const PARAMETER = /^[a-z][a-z0-9_]{0,63}$/;
const NOT_LITERAL = /[*?$\\{}"]/;
const ASCII = /^[ -~]{1,512}$/;

/** Returns the permission; throws InvalidRequest for one that the gateway would not read. */
export function checkedPermission(permission: Permission, path: string): Permission {
  checkCount(permission.actions, MOST_ACTIONS, `${path}.actions`, "action");
  checkCount(permission.resources, MOST_RESOURCES, `${path}.resources`, "resource");
  if (!permission.actions.every((action) => action.length <= LONGEST_ACTION && ACTION.test(action))) {
    const rule = "an action is service:Name, such as s3:GetObject or s3:Get*, with a literal service";
    throw wrong(`${path}.actions`, rule, { example: PERMISSION_EXAMPLE });
  }
  for (const resource of permission.resources) {
    checkResource(resource, `${path}.resources`);
  }
  return permission;
}

/** Returns the capability; throws InvalidRequest for one that no catalogue can hold. */
export function checkedCapability(capability: Capability, path: string): Capability {
  if (!CAPABILITY.test(capability.name)) {
    const rule = "the name of a capability is lower-case letters, digits, '_' and '.'";
    throw wrong(`${path}.name`, rule, { example: "s3.read_prefix" });
  }
  const parameters = Object.entries(capability.parameters).sort(([one], [other]) => (one < other ? -1 : 1));
  if (parameters.length > MOST_PARAMETERS) {
    throw wrong(`${path}.parameters`, `there are at most ${MOST_PARAMETERS} parameters`);
  }
  for (const [name, value] of parameters) {
    if (!PARAMETER.test(name)) {
      throw wrong(`${path}.parameters`, "the name of a parameter is lower-case letters, digits and '_'");
    }
    checkLiteral(value, `${path}.parameters.${name}`);
  }
  return capability;
}

/** Refuses what no parameter of a capability may hold, whatever its type; says what to do for a wildcard. */
function checkLiteral(value: string, path: string): void {
  if (NOT_LITERAL.test(value)) {
    const isPrefix = path.slice(path.lastIndexOf(".") + 1).includes("prefix");
    const meant = isPrefix ? "the prefix itself, ending with '/', to mean all below it" : "the one name that is meant";
    const rule =
      "is taken literally, so a wildcard, '$', a brace, a quote or a backslash is refused: " +
      `give ${meant}, or ask for a permission, which takes patterns`;
    throw wrong(path, rule, { example: `s3.read_prefix bucket=reports prefix=2026/q3/ or ${PERMISSION_EXAMPLE}` });
  }
  if (!ASCII.test(value)) {
    throw wrong(path, `is 1 to ${LONGEST_VALUE} printable ASCII characters`);
  }
  if (value.includes("//") || value.split("/").some((step) => step === "." || step === "..")) {
    throw wrong(path, "must not hold '//', '.' or '..' as a path step");
  }
}

function checkCount(items: readonly string[], most: number, path: string, word: string): void {
  if (items.length < 1 || items.length > most) {
    throw wrong(path, `there is at least one ${word}, and at most ${most}`);
  }
}

function checkResource(resource: string, path: string): void {
  if (resource.length > LONGEST_RESOURCE || !RESOURCE.test(resource)) {
    const rule =
      "a resource is an ARN of six parts (arn:partition:service:region:account:name), partition and service " +
      "literal, region and account literal, empty or *";
    throw wrong(path, rule, { example: "arn:aws:s3:::reports/2026/*" });
  }
  if (resource.includes("${")) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the sentence is about such a text
    throw wrong(path, "a policy variable (${...}) is for what the security team writes, not for what is asked for");
  }
}
