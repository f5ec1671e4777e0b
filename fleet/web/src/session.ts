// Who looks, and what that one may do.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Principal, Role } from "./types";

export const Session = createContext<Principal>({ actor: "", role: "VIEWER" });

const kRank: Record<Role, number> = { VIEWER: 1, OPERATOR: 2, RELEASE_MANAGER: 3 };
export const roleName = (role: Role) => role.toLowerCase().replace("_", " ");

// Why not; "" when it is allowed.
export function useMissingRole(): (need: Role) => string {
  const { role } = useContext(Session);
  return (need) =>
    (kRank[role] ?? 0) >= kRank[need] ? "" : `needs the role ${roleName(need)}; you are ${roleName(role)}`;
}
