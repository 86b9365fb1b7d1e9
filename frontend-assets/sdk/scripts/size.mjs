// Fails if the package, minified and compressed, without the official client, is larger than its bound.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const MAX_BYTES = 12 * 1024;

const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["socket.io-client"],
  write: false,
});
const bytes = gzipSync(outputFiles[0].contents).length;
console.log(`${bytes} bytes compressed, of at most ${MAX_BYTES}`);
if (bytes > MAX_BYTES) process.exitCode = 1;
