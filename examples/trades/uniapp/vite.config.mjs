import { fileURLToPath } from "node:url";

import uni from "@dcloudio/vite-plugin-uni";
import { defineConfig } from "vite";

// The compiler asks its maker's server for news, with a hash of this machine's address, unless it runs in CI.
process.env.CI ??= "1";

const shared = fileURLToPath(new URL("../page", import.meta.url));

export default defineConfig({
  plugins: [(uni.default ?? uni)()],
  base: "./", // the H5 build works in any folder of any server
  resolve: { alias: { "@shared": shared } },
});
