// The service worker of Web Push: shows what the server sends while no page is open, and opens what it is about.

/** Where the pages of the client are. */
const CLIENT = /^\/($|index\.html$|rooms\/)/;

self.addEventListener("push", (event) => {
  let message = {};
  try {
    message = event.data?.json() ?? {};
  } catch {
    // What can't be read is news all the same, and a browser wants every push to be seen.
  }
  const { title = "Tertulia", body = "", data = {} } = message;
  // One of a room takes the place of the one before, and is heard as that was.
  event.waitUntil(self.registration.showNotification(title, { body, data, tag: data.roomId ?? "tertulia", renotify: true }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { roomId, seq } = event.notification.data ?? {};
  const isRoom = typeof roomId === "string" && /^[\w-]{1,64}$/.test(roomId) && roomId !== "none";
  const path = isRoom ? `/rooms/${roomId}${Number.isInteger(seq) ? `?message=${seq}` : ""}` : "/";
  event.waitUntil(show(path));
});

async function show(path) {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  // Others of this server, as the viewer of its API, go nowhere.
  const page = pages.find(({ url }) => CLIENT.test(new URL(url).pathname));
  if (!page) return self.clients.openWindow(path);
  // The page goes there by itself, so that what is being written stays.
  page.postMessage({ type: "open", path });
  return page.focus();
}
