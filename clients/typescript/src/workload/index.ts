/**
 * Workload identity without secrets: what the platform gives this process, found and kept fresh.
 *
 *     new Gateway("gateway.example.com:8444", { bearerToken: workload.github("https://remit.acme.example") })
 *
 * Each function returns a source: a function that gives a fresh token, for `bearerToken` and `subjectToken`.
 */

import { fetched as fromGithub } from "./github.js";
import { fetched as fromGitpod } from "./gitpod.js";
import { readFile, readVariable } from "./reading.js";
import { asked, found, kept, type WorkloadToken } from "./token.js";

const KUBELET =
  "mount a projected serviceAccountToken with the gateway's audience (docs/workload-identity/kubernetes.md): the " +
  "token that every pod has is for the API server";
const STUCK = "whoever writes the file has stopped to renew it; if it is new, the clock of this machine is wrong";

export { NoWorkloadIdentity } from "./failing.js";
export type { WorkloadToken } from "./token.js";

/**
 * Returns the source of this GitHub Actions job's token; the job needs the permission `id-token: write`.
 *
 * Every call to the gateway gets a token of its own: where its issuer entry says `single_use`, a token opens one task.
 * `reuse` keeps each until near its end instead, for gateways that do not say so.
 */
export function github(audience: string, { reuse = false }: { readonly reuse?: boolean } = {}): WorkloadToken {
  return (reuse ? kept : asked)("github", { audience }, () => fromGithub(audience));
}

/**
 * Returns the source of this GitLab job's token, which `id_tokens` of its `.gitlab-ci.yml` put into a variable.
 *
 * GitLab makes it once, when the job starts: it cannot be renewed, and ends with the job's timeout.
 */
export function gitlab(name = "REMIT_ID_TOKEN"): WorkloadToken {
  const mend = `add \`id_tokens: {${name}: {aud: AUDIENCE}}\` to the job in .gitlab-ci.yml`;
  const stale = "GitLab gives a job its token once: start the job again, or give it a longer timeout";
  return found("gitlab", { name }, async () => readVariable(name, { mend, stale }));
}

/** Returns the source of this pod's projected service account token, which the kubelet renews; read at each call. */
export function kubernetes(path = "/var/run/secrets/remit/token"): WorkloadToken {
  return found("kubernetes", { path }, () => readFile(path, { mend: KUBELET, stale: STUCK }));
}

/** Returns the source of this Gitpod or Ona environment's token, from `ona`, `gitpod` or `gp` on the PATH. */
export function gitpod(audience: string): WorkloadToken {
  return kept("gitpod", { audience }, () => fromGitpod(audience));
}

/** Returns the source of a token in a file that something else keeps fresh; read at each call. */
export function file(path: string): WorkloadToken {
  return found("file", { path }, () =>
    readFile(path, { mend: "have the token written there, readable here", stale: STUCK }),
  );
}

/** Returns the source of a token in a variable of this process; read at each call. */
export function env(name: string): WorkloadToken {
  const mend = `start this process with the token in ${name}`;
  const stale = "whoever starts this process has to give it a new one";
  return found("env", { name }, async () => readVariable(name, { mend, stale }));
}
