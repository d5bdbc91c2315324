/** The short forms, such as `read s3://reports/2026/q3/*`: a closed set, each for one thing of the catalogue. */

import type { InvalidRequest } from "../errors.js";
import { Capability, Permission } from "../intent.js";
import { checkedCapability, checkedPermission } from "./grammar.js";
import { nearest, wrong } from "./mistakes.js";

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const REGION = /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/;
const ACCOUNT = /^[0-9]{12}$/;
const PATTERN = /[*?]/;
const ONLY_AT_THE_END = "takes * only as its end, after a '/': all else is literal";
const HERE = "eu-central-1/111122223333";

type Read = (place: string) => Permission | Capability;
type Parameters = Record<string, string>;

/** One short form: how its place is written, an example that parses, and what it comes to. */
interface ShortForm {
  readonly place: string;
  readonly example: string;
  readonly read: Read;
}

/** Says what is wrong with the place that a short form names. */
class Unfit extends Error {}

/** Splits a text at the first separator; without one, all of it is before. */
function cut(text: string, separator: string): [string, string, boolean] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, "", false] : [text.slice(0, at), text.slice(at + separator.length), true];
}

function s3(place: string): [string, string] {
  const [bucket, rest] = cut(place, "/");
  if (!BUCKET.test(bucket)) {
    throw new Unfit("begins with a bucket's name, literally (3 to 63 of a-z, 0-9, '.', '-')");
  }
  return [bucket, rest];
}

/** Returns the prefix of a place that ends with a star after a slash; undefined for one object's key. */
function below(rest: string): string | undefined {
  const prefix = rest.endsWith("*") ? rest.slice(0, -1) : rest;
  if (prefix !== rest && (prefix === "" || prefix.endsWith("/"))) {
    if (PATTERN.test(prefix)) {
      throw new Unfit(ONLY_AT_THE_END);
    }
    return prefix;
  }
  if (PATTERN.test(rest)) {
    throw new Unfit(ONLY_AT_THE_END);
  }
  return undefined;
}

/** Returns how a form reads that means one object, all below a prefix, or a whole bucket. */
function ofObjects(ofPrefix: string, ofKey: string | undefined, action: string): Read {
  return (place) => {
    const [bucket, rest] = s3(place);
    const prefix = below(rest);
    if (prefix) {
      return new Capability(ofPrefix, { bucket, prefix });
    }
    if (prefix === undefined && (rest === "" || rest.endsWith("/"))) {
      throw new Unfit("names one object, or all below a prefix by '/*' at its end");
    }
    if (prefix === undefined && ofKey !== undefined) {
      return new Capability(ofKey, { bucket, key: rest });
    }
    return new Permission(action, `arn:aws:s3:::${bucket}/${prefix === undefined ? rest : "*"}`);
  };
}

function listing(place: string): Permission | Capability {
  const [bucket, rest] = s3(place);
  const prefix = rest.endsWith("/") && !PATTERN.test(rest) ? rest : below(rest);
  if (prefix) {
    return new Capability("s3.list_prefix", { bucket, prefix });
  }
  if (rest !== "" && rest !== "*") {
    throw new Unfit("is a bucket, or a prefix that ends with '/' or '/*'");
  }
  return new Permission("s3:ListBucket", `arn:aws:s3:::${bucket}`);
}

function deleting(place: string): Capability {
  const [bucket, rest] = s3(place);
  if (rest === "" || rest.endsWith("/") || PATTERN.test(rest)) {
    throw new Unfit("names one object, literally");
  }
  return new Capability("s3.delete_object", { bucket, key: rest });
}

/** Returns region and account as parameters, and what follows them. */
function regional(place: string): [Parameters, string] {
  const [region, rest] = cut(place, "/");
  const [account, name] = cut(rest, "/");
  if (!REGION.test(region) || !ACCOUNT.test(account)) {
    throw new Unfit("begins with a region and an account of twelve digits, literally");
  }
  if (name === "") {
    throw new Unfit("ends with a name");
  }
  return [{ region, account }, name];
}

/** Returns how a form reads that names one thing of a region and account, maybe with a part of it `after`. */
function named(capability: string, parameter: string, rest?: { readonly part: string; readonly after: string }): Read {
  return (place) => {
    const [parameters, name] = regional(place);
    if (PATTERN.test(name)) {
      throw new Unfit("is literal: no * and no ?");
    }
    const [head, tail, isThere] = rest === undefined ? [name, "", false] : cut(name, rest.after);
    const more = rest !== undefined && isThere ? { [rest.part]: tail } : {};
    return new Capability(capability, { ...parameters, [parameter]: head, ...more });
  };
}

function readingParameters(place: string): Capability {
  const [parameters, name] = regional(place);
  const prefix = below(name);
  if (prefix) {
    return new Capability("ssm.read_path", { path: prefix, ...parameters });
  }
  if (prefix !== undefined) {
    throw new Unfit("names a parameter, or a path by '/*' at its end");
  }
  return new Capability("ssm.read_parameter", { name, ...parameters });
}

function tableOfGlue(place: string): Capability {
  const [parameters, name] = regional(place);
  const [database, table, isThere] = cut(name, "/");
  if (!isThere || PATTERN.test(name)) {
    throw new Unfit("ends with a database and a table, literally");
  }
  return new Capability("glue.read_table", { database, table, ...parameters });
}

function model(place: string): Capability {
  const [region, name] = cut(place, "/");
  if (!REGION.test(region) || name === "" || PATTERN.test(name)) {
    throw new Unfit("is a region and a model's id, literally");
  }
  return new Capability("bedrock.invoke_model", { region, model: name });
}

const OBJECTS = "BUCKET/KEY or BUCKET/PREFIX/* or BUCKET/*";
const TABLE = "REGION/ACCOUNT/TABLE or REGION/ACCOUNT/TABLE/PARTITION-KEY";
const LEADING = { part: "leading_key", after: "/" };
const WITH_QUALIFIER = "REGION/ACCOUNT/FUNCTION or REGION/ACCOUNT/FUNCTION:QUALIFIER";
const QUALIFIED = { part: "qualifier", after: ":" };

function form(place: string, example: string, read: Read): ShortForm {
  return { place, example, read };
}

const SHORT_FORMS: ReadonlyMap<string, ShortForm> = new Map([
  ["read s3", form(OBJECTS, "reports/2026/q3/*", ofObjects("s3.read_prefix", "s3.read_object", "s3:GetObject"))],
  ["list s3", form("BUCKET or BUCKET/PREFIX/*", "reports/2026/q3/*", listing)],
  ["write s3", form(OBJECTS, "reports/drafts/*", ofObjects("s3.write_prefix", undefined, "s3:PutObject"))],
  ["delete s3", form("BUCKET/KEY", "reports/drafts/q4.md", deleting)],
  ["read dynamodb", form(TABLE, `${HERE}/orders`, named("dynamodb.read_items", "table", LEADING))],
  ["write dynamodb", form(TABLE, `${HERE}/orders/customer-7`, named("dynamodb.write_items", "table", LEADING))],
  ["read secret", form("REGION/ACCOUNT/NAME", `${HERE}/app/database`, named("secretsmanager.read_secret", "name"))],
  ["read ssm", form("REGION/ACCOUNT/NAME or REGION/ACCOUNT/PATH/*", `${HERE}/app/web/*`, readingParameters)],
  ["write ssm", form("REGION/ACCOUNT/NAME", `${HERE}/app/web/colour`, named("ssm.write_parameter", "name"))],
  ["send sqs", form("REGION/ACCOUNT/QUEUE", `${HERE}/jobs`, named("sqs.send_messages", "queue"))],
  ["receive sqs", form("REGION/ACCOUNT/QUEUE", `${HERE}/jobs`, named("sqs.receive_messages", "queue"))],
  ["publish sns", form("REGION/ACCOUNT/TOPIC", `${HERE}/news`, named("sns.publish_messages", "topic"))],
  [
    "invoke lambda",
    form(WITH_QUALIFIER, `${HERE}/resize:live`, named("lambda.invoke_function", "function", QUALIFIED)),
  ],
  ["invoke bedrock", form("REGION/MODEL", "eu-central-1/amazon.nova-lite-v1:0", model)],
  ["query athena", form("REGION/ACCOUNT/WORKGROUP", `${HERE}/analysts`, named("athena.run_queries", "workgroup"))],
  ["read glue", form("REGION/ACCOUNT/DATABASE/TABLE", `${HERE}/sales/orders`, tableOfGlue)],
]);
const NAMES: readonly (readonly [string, string])[] = [...SHORT_FORMS.keys()].map((name) => {
  const [verb, service] = cut(name, " ");
  return [verb, service] as const;
});
const KNOWN = NAMES.map(([verb, service]) => `${verb} ${service}://`).join(", ");

/** Returns what a short form comes to; throws InvalidRequest for an unknown one, listing those that are known. */
export function shortForm(verb: string, service: string, place: string, path: string): Permission | Capability {
  const found = SHORT_FORMS.get(`${verb} ${service}`);
  if (found === undefined) {
    throw unknownForm(verb, service, path, "is no short form");
  }
  let item: Permission | Capability;
  try {
    item = found.read(place);
  } catch (unfit) {
    if (!(unfit instanceof Unfit)) {
      throw unfit;
    }
    const shown = { form: `${verb} ${service}://${found.place}`, example: `${verb} ${service}://${found.example}` };
    throw wrong(path, `the place of ${verb} ${service}:// ${unfit.message}`, shown);
  }
  return item instanceof Capability ? checkedCapability(item, path) : checkedPermission(item, path);
}

/** Returns the error for what is no short form, listing those that are, with the nearest and its example. */
export function unknownForm(verb: string, service: string, path: string, rule: string): InvalidRequest {
  const told = `${rule}: the short forms are ${KNOWN}`;
  const near = nearestForm(verb.toLowerCase(), service.toLowerCase());
  const found = SHORT_FORMS.get(near ?? "");
  if (near === undefined || found === undefined) {
    return wrong(path, told, { example: "read s3://reports/2026/q3/*" });
  }
  const shown = `${near}://`;
  return wrong(path, `${told}; the nearest is ${shown}${found.place}`, { example: `${shown}${found.example}` });
}

/** Returns the short form of the same service whose verb is nearest, else the first one with the nearest verb. */
function nearestForm(verb: string, service: string): string | undefined {
  const verbs = NAMES.filter(([, name]) => name === service).map(([word]) => word);
  if (verbs.length > 0) {
    return `${nearest(verb, verbs) ?? verbs[0]} ${service}`;
  }
  const near = nearest(
    verb,
    NAMES.map(([word]) => word),
  );
  const found = NAMES.find(([word]) => word === near);
  return found?.join(" ");
}
