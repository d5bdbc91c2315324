/** GitHub Actions: a job asks the runner's token endpoint (docs.github.com, "OpenID Connect reference"). */

import { NoWorkloadIdentity } from "./failing.js";
import { askWeb } from "./web.js";

const URL_VARIABLE = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN_VARIABLE = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
const PERMISSION =
  "give the job `permissions: id-token: write` (with `contents: read` for the checkout), in a workflow that is not " +
  "started by a pull request from a fork: GitHub gives those no tokens";

/** Asks GitHub for a token with this audience; throws NoWorkloadIdentity. */
export async function fetched(audience: string): Promise<string> {
  const { [URL_VARIABLE]: url, [TOKEN_VARIABLE]: secret, GITHUB_ACTIONS: isThere } = process.env;
  if (!url || !secret) {
    const told = `${url ? TOKEN_VARIABLE : URL_VARIABLE} is not set`;
    throw isThere
      ? new NoWorkloadIdentity(`GitHub gives this job no tokens: ${told}`, { advice: PERMISSION })
      : new NoWorkloadIdentity(`this is no job of GitHub Actions: ${told}`, { advice: "run it in a workflow" });
  }
  const answer = await askWeb(
    `${url}${url.includes("?") ? "&" : "?"}audience=${encodeURIComponent(audience)}`,
    { authorization: `bearer ${secret}`, accept: "application/json; api-version=2.0" },
    "GitHub's token endpoint",
  );
  const said = `GitHub's token endpoint answered ${answer.status}`;
  if (answer.status === 401 || answer.status === 403) {
    throw new NoWorkloadIdentity(said, { advice: PERMISSION });
  }
  const token = answer.member("value");
  if (token === undefined) {
    const advice = "look at githubstatus.com, and run the job again";
    throw new NoWorkloadIdentity(`${said} without a token`, { advice });
  }
  return token;
}
