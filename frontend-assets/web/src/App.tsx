// Who is signed in decides what there is to see; the address decides which part of it.

import { lazy, Suspense, useEffect } from "react";
import { Route, Switch } from "wouter";
import { mailLink } from "./account/mail-link.ts";
import { SignIn } from "./account/SignIn.tsx";
import * as rooms from "./rooms/my-rooms.ts";
import { Shell } from "./Shell.tsx";
import { useStore } from "./store.ts";
import { session } from "./tertulia.ts";
import { useText } from "./text/index.ts";
import { Toasts } from "./ui/toasts.tsx";
import styles from "./shell.module.css";

const Dashboard = lazy(() => import("./admin/Dashboard.tsx"));
const MailLinkPage = lazy(() => import("./account/MailLinkPage.tsx"));

export function App() {
  const user = useStore(session);
  const link = useStore(mailLink);
  if (link)
    return (
      <>
        <Suspense fallback={<Starting />}>
          <MailLinkPage key={link.token} link={link} />
        </Suspense>
        <Toasts />
      </>
    );
  return (
    <>
      {user === undefined && <Starting />}
      {user === null && <SignIn />}
      {user && <SignedIn key={user.id} />}
      <Toasts />
    </>
  );
}

/** Seen only where it takes long to find out who is signed in. */
function Starting() {
  const text = useText();
  return (
    <p className={styles.starting} role="status">
      {text.loading}
    </p>
  );
}

function SignedIn() {
  useEffect(() => {
    rooms.start();
    return rooms.stop;
  }, []);
  return (
    <Suspense fallback={<Starting />}>
      <Switch>
        <Route path="/admin/*?">
          <Dashboard />
        </Route>
        <Route>
          <Shell />
        </Route>
      </Switch>
    </Suspense>
  );
}
