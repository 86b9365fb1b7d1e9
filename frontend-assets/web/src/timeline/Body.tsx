// The text of a message. Tokens become elements; nothing is ever set as HTML.

import { memo, useMemo } from "react";
import styles from "./body.module.css";
import { tokenize, type Token } from "./markup.ts";

interface Props {
  body: string;
  /** One's own username, whose mention stands out. */
  me: string;
}

export const Body = memo(function Body({ body, me }: Props) {
  const tokens = useMemo(() => tokenize(body), [body]);
  const isShout = tokens.length === 1 && tokens[0]?.kind === "text" && EMOJI_ONLY.test(body);
  return (
    <div className={isShout ? `${styles.body} ${styles.shout}` : styles.body} dir="auto">
      {tokens.map((token, index) => (
        <Part key={index} token={token} me={me} />
      ))}
    </div>
  );
});

const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}(?:\uFE0F|\u200D|\p{Emoji_Modifier}|\p{Extended_Pictographic})*\s*){1,3}$/u;

function Part({ token, me }: { token: Token; me: string }) {
  switch (token.kind) {
    case "text":
      return token.text;
    case "code":
      return <code className={styles.code}>{token.text}</code>;
    case "block":
      return (
        <pre className={styles.block} data-language={token.language || undefined} tabIndex={0}>
          <code>{token.text}</code>
        </pre>
      );
    case "strong":
      return <strong>{token.text}</strong>;
    case "emphasis":
      return <em>{token.text}</em>;
    case "strike":
      return <s>{token.text}</s>;
    case "mention":
      return (
        <span className={token.text.slice(1).toLowerCase() === me.toLowerCase() ? `${styles.mention} ${styles.me}` : styles.mention}>
          {token.text}
        </span>
      );
    case "link":
      return (
        <a href={token.href} target="_blank" rel="noopener noreferrer nofollow">
          {token.text}
        </a>
      );
  }
}
