/** What a task needs: permissions, and capabilities of the catalogue. */

/** One IAM condition, such as `new Condition("StringLike", "s3:prefix", ["2026/*"])`: operator, key, values. */
export class Condition {
  readonly operator: string;
  readonly key: string;
  readonly values: readonly string[];

  constructor(operator: string, key: string, values: string | readonly string[]) {
    this.operator = operator;
    this.key = key;
    this.values = strings("values", values);
    Object.freeze(this);
  }

  toString(): string {
    return `${this.operator} ${this.key} ${this.values.join(", ")}`;
  }
}

/**
 * Allows every action on every resource it names while all its conditions hold.
 *
 * Actions are IAM action patterns (`s3:GetObject`), resources are ARN patterns; a single string is a list of one.
 */
export class Permission {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions: readonly Condition[];

  constructor(
    actions: string | readonly string[],
    resources: string | readonly string[],
    conditions: readonly Condition[] = [],
  ) {
    this.actions = strings("actions", actions);
    this.resources = strings("resources", resources);
    this.conditions = Object.freeze([...conditions]);
    Object.freeze(this);
  }

  toString(): string {
    const when = this.conditions.map((condition) => ` when ${condition}`).join("");
    return `${this.actions.join(", ")} on ${this.resources.join(", ")}${when}`;
  }
}

/**
 * Asks for a named permission template of the gateway's catalogue, its parameters taken literally.
 *
 * `new Capability("s3.read_prefix", { bucket: "reports", prefix: "2026/q3/" })`
 */
export class Capability {
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;

  constructor(name: string, parameters: Readonly<Record<string, string>> = {}) {
    if (typeof name !== "string" || !Object.values(parameters).every((value) => typeof value === "string")) {
      throw new TypeError(`the name and the parameters of ${name} must be strings`);
    }
    this.name = name;
    this.parameters = Object.freeze({ ...parameters });
    Object.freeze(this);
  }

  toString(): string {
    const parameters = Object.entries(this.parameters).map(([key, value]) => ` ${key}=${value}`);
    return `${this.name}${parameters.join("")}`;
  }
}

function strings(name: string, values: string | readonly string[]): readonly string[] {
  const list = typeof values === "string" ? [values] : [...values];
  if (!list.every((value) => typeof value === "string")) {
    throw new TypeError(`${name} must be a list of strings`);
  }
  return Object.freeze(list);
}
