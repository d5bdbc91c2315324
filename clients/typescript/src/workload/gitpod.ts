/** Gitpod (Ona): the command line of the environment asks for the token (ona.com/docs, "OpenID Connect (OIDC)"). */

import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join, parse } from "node:path";
import { harmless, NoWorkloadIdentity } from "./failing.js";
import { LONGEST_TOKEN } from "./token.js";

const COMMANDS = ["ona", "gitpod", "gp"]; // Ona's, the same under its former name, and that of Gitpod Classic
const SECONDS = 15;
const MEND = "run it inside an Ona or Gitpod environment, where `ona idp token --audience AUDIENCE` prints a token";

interface Printed {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Has the environment's command print a token with this audience; throws NoWorkloadIdentity. */
export async function fetched(audience: string): Promise<string> {
  const program = COMMANDS.map(onPath).find((path) => path !== undefined);
  if (program === undefined) {
    throw new NoWorkloadIdentity(`none of ${COMMANDS.join(", ")} is on the PATH`, { advice: MEND });
  }
  const name = parse(program).base;
  const { code, output, errors } = await printed(program, ["idp", "token", "--audience", audience]);
  if (output.length > LONGEST_TOKEN) {
    throw new NoWorkloadIdentity(`\`${name} idp token\` printed more than a token`);
  }
  if (code !== 0) {
    const ended = code === null ? `gave no answer within ${SECONDS} seconds` : `ended with ${code}`;
    const why = harmless(errors) || "it said nothing";
    throw new NoWorkloadIdentity(`\`${name} idp token\` ${ended}: ${why}`, { advice: MEND });
  }
  return output;
}

function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  // NOTE: an empty or relative entry of PATH would run whatever lies in the folder that the agent works in.
  return folders
    .filter(isAbsolute)
    .map((folder) => join(folder, name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Runs a program without a shell, reads what it prints to a limit, and stops it when it goes on for too long. */
async function printed(program: string, words: readonly string[]): Promise<Printed> {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const stop = () => {
    try {
      process.kill(-(child.pid ?? Number.NaN), "SIGKILL"); // with whatever it started
    } catch {
      // it has ended
    }
  };
  const read = (stream: typeof child.stdout): (() => string) => {
    let text = "";
    stream.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.length > LONGEST_TOKEN) {
        stop();
      }
    });
    return () => text;
  };
  const [output, errors] = [read(child.stdout), read(child.stderr)];
  const timer = setTimeout(stop, SECONDS * 1000);
  return (await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output(), errors: errors() }));
  }).finally(() => clearTimeout(timer))) as Printed;
}
