// Who is signed in decides what there is to see; the address decides which part of it.

import { useEffect } from "react";
import { SignIn } from "./account/SignIn.tsx";
import * as rooms from "./rooms/my-rooms.ts";
import { Shell } from "./Shell.tsx";
import { useStore } from "./store.ts";
import { session } from "./tertulia.ts";
import { Toasts } from "./ui/toasts.tsx";

export function App() {
  const user = useStore(session);
  return (
    <>
      {user === null && <SignIn />}
      {user && <SignedIn key={user.id} />}
      <Toasts />
    </>
  );
}

function SignedIn() {
  useEffect(() => {
    rooms.start();
    return rooms.stop;
  }, []);
  return <Shell />;
}
