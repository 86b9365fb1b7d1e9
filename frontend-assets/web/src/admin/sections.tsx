// The sections of the dashboard.

import { CalendarDays, KeyRound, MonitorSmartphone, RotateCcw, ScrollText, Server, Timer, Zap, type LucideIcon } from "lucide-react";
import type { ComponentType } from "react";
import { Audit } from "./Audit.tsx";
import { Circuits } from "./Circuits.tsx";
import { Days } from "./Days.tsx";
import { DeadJobs } from "./DeadJobs.tsx";
import { Instances } from "./Instances.tsx";
import { Keys } from "./Keys.tsx";
import { RateLimits } from "./RateLimits.tsx";
import { Sessions } from "./Sessions.tsx";
import type { AdminText } from "./text/index.ts";

export interface Section {
  /** In its address. */
  readonly name: string;
  readonly icon: LucideIcon;
  readonly titleOf: (text: AdminText) => string;
  readonly Page: ComponentType;
}

export const SECTIONS: readonly Section[] = [
  { name: "sessions", icon: MonitorSmartphone, titleOf: (text) => text.sessions.title, Page: Sessions },
  { name: "instances", icon: Server, titleOf: (text) => text.instances.title, Page: Instances },
  { name: "circuits", icon: Zap, titleOf: (text) => text.circuits.title, Page: Circuits },
  { name: "rate-limits", icon: Timer, titleOf: (text) => text.limits.title, Page: RateLimits },
  { name: "jobs", icon: RotateCcw, titleOf: (text) => text.jobs.title, Page: DeadJobs },
  { name: "audit", icon: ScrollText, titleOf: (text) => text.audit.title, Page: Audit },
  { name: "days", icon: CalendarDays, titleOf: (text) => text.days.title, Page: Days },
  { name: "keys", icon: KeyRound, titleOf: (text) => text.keys.title, Page: Keys },
];
