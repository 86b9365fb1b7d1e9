import "./base.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";
import { keepCompositions } from "./composition.ts";
import { Fault } from "./Fault.tsx";
import * as rooms from "./rooms/my-rooms.ts";
import { release } from "./notifications/push.ts";
import { session, tertulia } from "./tertulia.ts";
import { text } from "./text/index.ts";
import { complain, say } from "./ui/toasts.tsx";

keepCompositions();

// The socket says what changed; what isn't told by it is read anew when it is looked at.
const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 30_000, retry: 1, refetchOnWindowFocus: false } } });

session.subscribe(() => {
  if (session.get()) return;
  rooms.stop();
  queries.clear();
});
tertulia.on("storage-error", () => say(text().errors.storage, true));

tertulia.restore().then(
  (user) => {
    if (user) return;
    session.set(null);
    // The session may have ended while no page was open.
    release().catch(() => undefined);
  },
  (error: unknown) => {
    complain(error);
    session.set(null);
  },
);

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Fault>
        <QueryClientProvider client={queries}>
          <App />
        </QueryClientProvider>
      </Fault>
    </StrictMode>,
  );
}
