// What was begun in one place may be done when its reader is in another. It doesn't take them back.

import { useEffect, useRef } from "react";

/** Notes where the reader is; what it returns says later whether they are still there. */
export function noteWhereabouts(): () => boolean {
  const { pathname } = location;
  return () => location.pathname === pathname;
}

/** The same for what can be closed, such as a dialog: the reader must not have closed it either. */
export function useWhereabouts(): () => () => boolean {
  const isOpen = useRef(false);
  useEffect(() => {
    isOpen.current = true;
    return () => {
      isOpen.current = false;
    };
  }, []);
  return () => {
    const isHere = noteWhereabouts();
    return () => isOpen.current && isHere();
  };
}
