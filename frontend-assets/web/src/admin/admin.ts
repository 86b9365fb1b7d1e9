import { Admin } from "@tertulia/sdk/admin";
import { tertulia } from "../tertulia.ts";

export const admin = new Admin(tertulia);
