import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { CHECKED: "true" },
  test: { include: ["test/**/*.test.ts"], testTimeout: 10_000, maxWorkers: 2 } });
