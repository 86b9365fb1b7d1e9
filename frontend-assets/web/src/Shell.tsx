// The frame of the page: rooms on the left, one of them beside it. A phone shows one of the two at a time.

import { lazy, Suspense, useEffect, useState } from "react";
import { Link, Route, Switch, useLocation, useRoute } from "wouter";
import { RoomPage } from "./rooms/RoomPage.tsx";
import { Sidebar } from "./rooms/Sidebar.tsx";
import { inOrder } from "./rooms/order.ts";
import { badge } from "./notifications/favicon.ts";
import { myRooms } from "./rooms/my-rooms.ts";
import { useStore } from "./store.ts";
import { useMe } from "./tertulia.ts";
import { useText } from "./text/index.ts";
import controls from "./ui/controls.module.css";
import { Wordmark } from "./ui/Wordmark.tsx";
import styles from "./shell.module.css";

const BrowseRooms = lazy(() => import("./rooms/BrowseRooms.tsx"));
const CreateRoom = lazy(() => import("./rooms/CreateRoom.tsx"));
const FindPeople = lazy(() => import("./rooms/FindPeople.tsx"));
const GoTo = lazy(() => import("./rooms/GoTo.tsx"));
const NotificationList = lazy(() => import("./notifications/NotificationList.tsx"));
const Settings = lazy(() => import("./account/Settings.tsx"));

/** What can be open over the page. */
export type Overlay = "browse" | "create" | "people" | "go-to" | "notifications" | "settings";

export function Shell() {
  const [overlay, setOverlay] = useState<Overlay>();
  const [isHome] = useRoute("/");
  useTitle();
  useShortcuts(setOverlay);
  const close = () => setOverlay(undefined);

  return (
    <div className={isHome ? `${styles.shell} ${styles.home}` : styles.shell}>
      <Sidebar className={styles.side} onOpen={setOverlay} />
      <main className={styles.main}>
        <Switch>
          <Route path="/">
            <Welcome onOpen={setOverlay} />
          </Route>
          <Route path="/rooms/:id">{({ id }) => <RoomPage key={id} id={id} />}</Route>
          <Route>
            <NotFound />
          </Route>
        </Switch>
      </main>
      <Suspense>
        {overlay === "browse" && <BrowseRooms onClose={close} />}
        {overlay === "create" && <CreateRoom onClose={close} />}
        {overlay === "people" && <FindPeople onClose={close} />}
        {overlay === "go-to" && <GoTo onClose={close} />}
        {overlay === "notifications" && <NotificationList onClose={close} />}
        {overlay === "settings" && <Settings onClose={close} />}
      </Suspense>
    </div>
  );
}

function Welcome({ onOpen }: { onOpen: (overlay: Overlay) => void }) {
  const text = useText();
  const me = useMe();
  return (
    <div className={styles.welcome}>
      <Wordmark isLarge />
      <h1>{text.welcome}</h1>
      <p>{text.welcomeHint}</p>
      <div className={controls.actions}>
        <button type="button" className={`${controls.button} ${controls.primary}`} onClick={() => onOpen("browse")}>
          {text.browse}
        </button>
        {!me.guest && (
          <button type="button" className={controls.button} onClick={() => onOpen("people")}>
            {text.writeTo}
          </button>
        )}
      </div>
    </div>
  );
}

function NotFound() {
  const text = useText();
  return (
    <div className={styles.welcome}>
      <h1>{text.notFound}</h1>
      <Link className={controls.button} href="/">
        {text.toRooms}
      </Link>
    </div>
  );
}

/** The number of unread messages in the page's title and on its icon. */
function useTitle() {
  const unread = useStore(myRooms, ({ entries }) => [...entries.values()].reduce((sum, entry) => sum + entry.unread, 0));
  useEffect(() => {
    document.title = unread > 0 ? `(${unread > 999 ? "999+" : unread}) Tertulia` : "Tertulia";
    void badge(unread);
  }, [unread]);
  // Whoever signs in next has their own.
  useEffect(
    () => () => {
      document.title = "Tertulia";
      void badge(0);
    },
    [],
  );
}

function useShortcuts(open: (overlay: Overlay) => void) {
  const [location, navigate] = useLocation();
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open("go-to");
      } else if (event.altKey && !event.ctrlKey && !event.metaKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        const { rooms, direct } = inOrder(myRooms.get().entries);
        const all = [...rooms, ...direct];
        if (all.length === 0) return;
        event.preventDefault();
        const here = all.findIndex(({ info }) => location === `/rooms/${info.id}`);
        const step = event.key === "ArrowDown" ? 1 : -1;
        const next = all[here < 0 ? 0 : (here + step + all.length) % all.length];
        if (next) navigate(`/rooms/${next.info.id}`);
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [location, navigate, open]);
}
