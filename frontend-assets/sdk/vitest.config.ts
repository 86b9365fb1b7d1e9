import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    restoreMocks: true,
    // Patience with a machine that is busy: the clock of the tests themselves is a false one.
    testTimeout: 60_000,
  },
});
