// Pictures of the main screens, for the documentation: node screenshots.mjs DIRECTORY
// They are made smaller where pngquant is installed, and look as they do in the documentation with the Debian packages
// fonts-noto-color-emoji and fonts-urw-base35.

import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { launch, message, open, signIn } from "./browser.mjs";
import { emit } from "./people.mjs";
import { connections } from "./scene.mjs";
import { Server } from "./server.mjs";

const directory = process.argv[2];
if (!directory) throw new Error("usage: node screenshots.mjs DIRECTORY");
await mkdir(directory, { recursive: true });

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };

const server = await Server.start();
const browser = await launch();
try {
  const { people, kitchen, seqs, username, last } = await connections(server);
  await react(people.ana, kitchen, seqs[0], "👍");
  await react(people.dmitri, kitchen, seqs[0], "👍");
  await react(people.bruno, kitchen, seqs[4], "🚀");
  await react(people.ana, kitchen, seqs[4], "❤️");

  const companions = [];
  for (const name of ["bruno", "chiara", "edith"]) {
    const page = await open(browser, server, { path: `/rooms/${kitchen.id}` });
    await signIn(page, name);
    companions.push(page);
  }

  for (const colorScheme of ["light", "dark"]) {
    for (const [device, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      const shoot = async (page, name) => {
        const path = join(directory, `${name}-${device}-${colorScheme}.png`);
        await page.screenshot({ path, animations: "disabled" });
        spawnSync("pngquant", ["--force", "--skip-if-larger", "--ext=.png", "--speed=1", path]);
      };
      const page = await open(browser, server, { colorScheme, viewport, ...(device === "phone" && { hasTouch: true, isMobile: true }) });
      if (colorScheme === "light" && device === "desktop") await shoot(page, "sign-in");
      await signIn(page, username);
      await page
        .getByRole("link", { name: /kitchen/ })
        .first()
        .waitFor();
      await page.getByRole("link", { name: /Bruno Díaz.*online/ }).waitFor();
      if (device === "phone") await shoot(page, "rooms");
      await page
        .getByRole("link", { name: /kitchen/ })
        .first()
        [device === "phone" ? "tap" : "click"]();
      await message(page, last).waitFor();
      await page.getByText(/[45] online/).waitFor();
      await shoot(page, "room");
      if (device === "desktop") {
        await page.getByRole("button", { name: "Members" }).click();
        await page.getByRole("complementary").getByText("owner").waitFor();
        await message(page, "Done. They bring").hover();
        await shoot(page, "members");
        if (colorScheme === "light") {
          await page.getByRole("button", { name: "Browse public rooms" }).first().click();
          await page
            .getByRole("button", { name: /^Join: / })
            .first()
            .waitFor();
          await shoot(page, "browse");
        } else {
          await page.getByRole("button", { name: "Settings" }).click();
          await page.getByRole("tab", { name: "Devices" }).click();
          await page.getByText("this device").waitFor();
          await shoot(page, "settings");
        }
      }
      await page.leave();
    }
  }
} finally {
  await browser.close();
  await server.stop();
}

function react(person, { id }, seq, emoji) {
  return emit(server, person, "message:react", { roomId: id, seq, emoji, on: true });
}
