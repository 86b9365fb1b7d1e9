// What is shown when drawing the page failed: words and a way on instead of nothing.

import { Component, type ReactNode } from "react";
import { text } from "./text/index.ts";
import controls from "./ui/controls.module.css";

export class Fault extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    const { errors } = text();
    return (
      <main className={controls.empty} role="alert">
        <p>{errors.page}</p>
        <button type="button" className={`${controls.button} ${controls.primary}`} onClick={() => location.reload()}>
          {errors.reload}
        </button>
      </main>
    );
  }
}
