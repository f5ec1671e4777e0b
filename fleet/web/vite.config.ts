import { defineConfig } from "vite";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: { target: "es2022", modulePreload: false, assetsInlineLimit: 0, reportCompressedSize: false },
  // npm run dev shows a controller on this computer.
  server: { host: "127.0.0.1", proxy: { "/v1": "http://127.0.0.1:7480" } },
});
