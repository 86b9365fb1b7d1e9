// The number of unread messages on the page's icon, for whoever sees only its tab.

const SIZE = 64;
const LATE_MS = 60_000;
const PLAIN = "/favicon.svg";

let shown = "";
let address: string | undefined;
let run = 0;

export async function badge(unread: number): Promise<void> {
  const words = unread === 0 ? "" : unread > 99 ? "99+" : String(unread);
  if (words === shown) return;
  shown = words;
  const mine = ++run;
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (!link) return;
  const next = words === "" ? undefined : await draw(words).catch(() => undefined);
  if (mine !== run) {
    if (next) URL.revokeObjectURL(next);
    return;
  }
  link.type = next ? "image/png" : "image/svg+xml";
  link.href = next ?? PLAIN;
  // The browser may be reading the one before.
  const before = address;
  if (before) setTimeout(() => URL.revokeObjectURL(before), LATE_MS);
  address = next;
}

async function draw(words: string): Promise<string | undefined> {
  const icon = new Image(SIZE, SIZE);
  icon.src = PLAIN;
  await icon.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const context = canvas.getContext("2d");
  if (!context) return undefined;
  context.drawImage(icon, 0, 0, SIZE, SIZE);
  const radius = 18;
  context.fillStyle = "#c3142d";
  context.strokeStyle = "#fff";
  context.lineWidth = 3;
  context.beginPath();
  context.roundRect(words.length > 1 ? 8 : SIZE - 2 * radius - 2, 2, words.length > 1 ? SIZE - 10 : 2 * radius, 2 * radius, radius);
  context.fill();
  context.stroke();
  context.fillStyle = "#fff";
  context.font = `bold ${words.length > 2 ? 25 : 30}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(words, words.length > 1 ? 35 : SIZE - radius - 2, 2 + radius + 1);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve));
  return blob ? URL.createObjectURL(blob) : undefined;
}
