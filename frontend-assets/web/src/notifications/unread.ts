// How many notifications weren't read, on whatever device.

import { Store } from "../store.ts";
import { tertulia } from "../tertulia.ts";

/** Absent while it isn't known, and where the server has no notifications. */
export const unreadNotifications = new Store<number | undefined>(undefined);

tertulia.notifications.on("changed", (unread) => unreadNotifications.set(unread));
