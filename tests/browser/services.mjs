// The services that some tests need: those in the environment, or those of a stack on this machine, which is started if it doesn't
// run and left running.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The settings by which a server uses a service of the stack, whose names begin with `prefix`. */
export async function settingsOf(service, prefix) {
  const ofPrefix = (entries) => entries.filter(([name]) => name.startsWith(prefix));
  const given = ofPrefix(Object.entries(process.env));
  if (given.length > 0) return Object.fromEntries(given);
  const directory = process.env.STACK_DIR ?? join(root, "target/stack");
  await promisify(execFile)("scripts/stack", ["up", service], { cwd: root, env: { ...process.env, STACK_DIR: directory } });
  const lines = (await readFile(join(directory, "env"), "utf8")).trim().split("\n");
  return Object.fromEntries(ofPrefix(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])));
}
