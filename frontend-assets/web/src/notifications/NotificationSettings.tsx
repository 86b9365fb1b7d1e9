// How one is told of what happens while one looks elsewhere: in this browser, by push, by mail, and when not at all.

import { useQuery } from "@tanstack/react-query";
import type { NotificationPreferences } from "@tertulia/sdk";
import { useState } from "react";
import { prefer, preferences } from "../preferences.ts";
import { useStore } from "../store.ts";
import { tertulia, useMe } from "../tertulia.ts";
import { isRefused } from "../text/errors.ts";
import { language, useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { complain } from "../ui/toasts.tsx";
import { useChanges } from "../ui/useChanges.ts";
import { Waiting } from "../ui/Waiting.tsx";
import styles from "./notification-settings.module.css";
import { canNotify } from "./notify.ts";
import { isPushed, pushKey, turnOff, turnOn } from "./push.ts";

const KEY = ["preferences"];

export function NotificationSettings() {
  const text = useText();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: KEY,
    queryFn: async () => {
      try {
        return await tertulia.notifications.preferences();
      } catch (error) {
        // A server without them has the browser's own notifications alone.
        if (isRefused(error, "not_found")) return null;
        throw error;
      }
    },
    staleTime: 0,
  });
  return (
    <>
      <InThisBrowser />
      {isPending || error ? <Waiting error={error} onRetry={() => void refetch()} /> : data && <WhileAway preferences={data} />}
      {data && <p className={controls.hint}>{text.notifyRoomsHint}</p>}
    </>
  );
}

function InThisBrowser() {
  const text = useText();
  const { notify } = useStore(preferences);
  const [permission, setPermission] = useState(canNotify ? Notification.permission : "denied");
  const isOn = useStore(isPushed);
  /** What was just chosen, until that is so. */
  const [wanted, setWanted] = useState<boolean>();
  const me = useMe();
  const { data: key } = useQuery({ queryKey: ["push-key"], queryFn: async () => (await pushKey()) ?? null, staleTime: Infinity });
  if (!canNotify) return <p>{text.notifyMissing}</p>;
  const set = async (on: boolean) => {
    const permission = on ? await Notification.requestPermission() : Notification.permission;
    setPermission(permission);
    prefer({ notify: on && permission === "granted" });
  };
  const setPush = async (on: boolean) => {
    // One at a time; what is disabled meanwhile would lose the focus.
    if (wanted !== undefined) return;
    setWanted(on);
    try {
      if (on && key) setPermission(await turnOn(me.id, key));
      else await turnOff();
    } catch (error) {
      complain(error);
    }
    setWanted(undefined);
  };
  return (
    <>
      <label className={controls.check}>
        <input type="checkbox" checked={notify && permission === "granted"} onChange={({ target }) => void set(target.checked)} />
        {text.notifyMe}
      </label>
      {(key || isOn) && (
        <label className={controls.check}>
          <input type="checkbox" checked={wanted ?? isOn} aria-busy={wanted !== undefined} onChange={({ target }) => void setPush(target.checked)} />
          {text.pushMe}
        </label>
      )}
      {permission === "denied" && <p className={controls.note}>{text.notifyDenied}</p>}
    </>
  );
}

type Change = Parameters<typeof tertulia.notifications.prefer>[0];

function WhileAway({ preferences: stored }: { preferences: NotificationPreferences }) {
  const text = useText();
  const me = useMe();
  const { change, pending } = useChanges({
    key: KEY,
    send: (change: Change) => tertulia.notifications.prefer({ ...change, language: language() }),
  });
  const { mail, quietHours }: NotificationPreferences & Change = Object.assign({}, stored, ...pending);
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const setQuiet = (from: string, to: string) => {
    if (from && to) change({ quietHours: { from, to, timeZone } });
  };
  return (
    <>
      {!me.guest && (
        <div className={controls.stack}>
          <label className={controls.check}>
            <input type="checkbox" checked={mail ?? false} onChange={({ target }) => change({ mail: target.checked })} />
            {text.mailMe}
          </label>
          {mail && !me.email && <p className={controls.note}>{text.mailNeedsAddress}</p>}
        </div>
      )}
      <fieldset className={controls.stack}>
        <legend className="unseen">{text.quietHours}</legend>
        <label className={controls.check}>
          <input
            type="checkbox"
            checked={quietHours != null}
            onChange={({ target }) => (target.checked ? setQuiet("22:00", "08:00") : change({ quietHours: null }))}
          />
          {text.quietHours}
        </label>
        {quietHours && (
          <div className={styles.hours}>
            <label>
              {text.quietFrom}
              <input
                type="time"
                className={controls.input}
                required
                value={quietHours.from}
                onChange={({ target }) => setQuiet(target.value, quietHours.to)}
              />
            </label>
            <label>
              {text.quietTo}
              <input
                type="time"
                className={controls.input}
                required
                value={quietHours.to}
                onChange={({ target }) => setQuiet(quietHours.from, target.value)}
              />
            </label>
            <span className={controls.faint}>{quietHours.timeZone.replaceAll("_", " ")}</span>
            {quietHours.timeZone !== timeZone && (
              <button type="button" className={controls.link} onClick={() => setQuiet(quietHours.from, quietHours.to)}>
                {text.useTimeZone(timeZone.replaceAll("_", " "))}
              </button>
            )}
          </div>
        )}
      </fieldset>
    </>
  );
}
