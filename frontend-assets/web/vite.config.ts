// The SDK is taken from its source, so that one build makes both; its only dependency comes from here.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const server = process.env.TERTULIA_URL ?? "http://localhost:4000";

const WORTH_COMPRESSING = /\.(js|css|html)$/;

/** Compresses once what would otherwise be compressed for every visitor. */
function compressed(): Plugin {
  const dist = path("dist");
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
        if (!WORTH_COMPRESSING.test(name)) continue;
        const file = readFileSync(join(dist, name));
        writeFileSync(join(dist, `${name}.br`), brotliCompressSync(file));
        writeFileSync(join(dist, `${name}.gz`), gzipSync(file, { level: 9 }));
      }
      // Kept in the repository, so that the server's build can watch a directory that is always there.
      writeFileSync(join(dist, ".gitignore"), "*\n!.gitignore\n");
    },
  };
}

/** Adds the page of the API's routes. Its files are those of the package as they are, which Vite needn't read. */
function apiDocs(): Plugin {
  return {
    name: "api-docs",
    apply: "build",
    generateBundle() {
      const require = createRequire(import.meta.url);
      const html = readFileSync(path("api-docs/index.html"), "utf8");
      const source = html.replace(/(?<=(?:src|href)=")(?!\/)[^"]+/g, (name) => {
        const file = name.startsWith(".") ? path(`api-docs/${name}`) : require.resolve(name);
        return `/${this.getFileName(this.emitFile({ type: "asset", name: basename(file), source: readFileSync(file) }))}`;
      });
      this.emitFile({ type: "asset", fileName: "api-docs.html", source });
    },
  };
}

export default defineConfig({
  plugins: [react(), apiDocs(), compressed()],
  resolve: {
    alias: {
      "@tertulia/sdk/admin": path("../sdk/src/admin.ts"),
      "@tertulia/sdk": path("../sdk/src/index.ts"),
      "socket.io-client": path("node_modules/socket.io-client"),
    },
  },
  build: {
    target: "es2022",
    // Inlined files would be data: URLs, which the page's policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/api": server,
      "/media": server,
      "/socket.io": { target: server, ws: true },
    },
  },
});
