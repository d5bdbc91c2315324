/** An agent as a process of its own: it begins a task, says which, and stays, or goes without ending it. */

import { gateway, q3 } from "./world.js";

const task = await gateway().task("summarise Q3", { subjectToken: process.env.TOKEN ?? "", allow: q3, lease: 30 });
process.stdout.write(`${task.id}\n`);
if (process.argv[2] === "stays") {
  setInterval(() => undefined, 60_000);
}
