// Pictures and files for tests, made where they are needed.

/** A picture of two colours, as a browser writes it. */
export async function picture(browser, { name = "picture.png", width = 640, height = 480, type = "image/png", colours = ["#a23c1c", "#26695f"] } = {}) {
  const page = await browser.newPage();
  const base64 = await page.evaluate(
    async ({ width, height, type, colours }) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d");
      const gradient = context.createLinearGradient(0, 0, width, height);
      colours.forEach((colour, index) => gradient.addColorStop(index / (colours.length - 1), colour));
      context.fillStyle = gradient;
      context.fillRect(0, 0, width, height);
      context.fillStyle = "#fff8";
      context.beginPath();
      context.arc(width / 2, height / 2, Math.min(width, height) / 4, 0, 7);
      context.fill();
      const blob = await canvas.convertToBlob({ type });
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    },
    { width, height, type, colours },
  );
  await page.close();
  return { name, mimeType: type, buffer: Buffer.from(base64, "base64") };
}

export const textFile = (name, words = "Flour, eggs, sugar\n") => ({ name, mimeType: "text/plain", buffer: Buffer.from(words) });

/** Chooses files as the button for them does. */
export const choose = (page, ...files) => page.locator('[data-picker="attachments"]').setInputFiles(files);

/** Pastes files into the field, or drops them on it. */
export const give = (page, event, ...files) =>
  page.getByRole("textbox", { name: /^Message / }).evaluate(
    (field, { event, files }) => {
      const data = new DataTransfer();
      for (const { name, mimeType, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: mimeType }));
      }
      const init = { bubbles: true, cancelable: true };
      if (event === "paste") field.dispatchEvent(new ClipboardEvent("paste", { ...init, clipboardData: data }));
      else for (const type of ["dragenter", "dragover", "drop"]) field.dispatchEvent(new DragEvent(type, { ...init, dataTransfer: data }));
    },
    { event, files: files.map(({ name, mimeType, buffer }) => ({ name, mimeType, base64: buffer.toString("base64") })) },
  );

/** A picture as the server has it. Whoever sent it sees their own file until it is there, and both for a moment. */
export const STORED = 'img:not([src^="blob:"])';
