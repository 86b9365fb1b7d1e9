// The SDK is taken from its source, so that one build makes both; its only dependency comes from here.

import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const server = process.env.TERTULIA_URL ?? "http://localhost:4000";

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: {
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
      "/socket.io": { target: server, ws: true },
    },
  },
});
