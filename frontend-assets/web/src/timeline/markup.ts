// The little markup of messages, read into tokens that become elements. Nothing of a message is ever read as HTML, and
// only http, https and mailto addresses become links.

export type Token =
  | { readonly kind: "text" | "code" | "strong" | "emphasis" | "strike" | "mention"; readonly text: string }
  | { readonly kind: "block"; readonly text: string; readonly language: string }
  | { readonly kind: "link"; readonly text: string; readonly href: string };

// With the line breaks around it, which an element of its own makes needless.
const BLOCK = /\n?```([\w+#.-]*)[ \t]*\n?([\s\S]*?)\n?```\n?/g;

// One alternative for each kind, in this order; none can backtrack further than a line.
const INLINE = new RegExp(
  [
    /`([^`\n]+)`/,
    /(https?:\/\/[^\s<>"'`]+|mailto:[^\s<>"'`]+)/,
    /(?<![\w@])@([A-Za-z0-9_.-]{3,32})/,
    /(?<![\w*])\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*(?![\w*])/,
    /(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])/,
    /(?<![\w~])~~(?=\S)([^~\n]+?)(?<=\S)~~(?![\w~])/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "g",
);

export function tokenize(body: string): Token[] {
  const tokens: Token[] = [];
  let from = 0;
  for (const match of body.matchAll(BLOCK)) {
    inline(body.slice(from, match.index), tokens);
    tokens.push({ kind: "block", text: match[2] ?? "", language: match[1] ?? "" });
    from = match.index + match[0].length;
  }
  inline(body.slice(from), tokens);
  return tokens;
}

function inline(body: string, tokens: Token[]): void {
  let from = 0;
  for (const match of body.matchAll(INLINE)) {
    const [whole, code, link, mention, strong, emphasis, strike] = match;
    let length = whole.length;
    let token: Token | undefined;
    if (code !== undefined) token = { kind: "code", text: code };
    else if (link !== undefined) {
      const text = withoutPunctuation(link);
      length = text.length;
      if (URL.canParse(text)) token = { kind: "link", text, href: text };
    } else if (mention !== undefined) {
      const text = `@${mention.replace(/[.-]+$/, "")}`;
      length = text.length;
      token = { kind: "mention", text };
    } else if (strong !== undefined) token = { kind: "strong", text: strong };
    else if (emphasis !== undefined) token = { kind: "emphasis", text: emphasis };
    else if (strike !== undefined) token = { kind: "strike", text: strike };
    if (!token) continue;
    if (match.index > from) tokens.push({ kind: "text", text: body.slice(from, match.index) });
    tokens.push(token);
    from = match.index + length;
  }
  if (from < body.length) tokens.push({ kind: "text", text: body.slice(from) });
}

/** What ends a sentence doesn't belong to the link in it, nor does a bracket that was opened before. */
function withoutPunctuation(link: string): string {
  let unopened = link.split(")").length - link.split("(").length;
  let end = link.length;
  for (; end > 0; end--) {
    const last = link[end - 1] ?? "";
    if (!".,;:!?)]}*_~".includes(last) || (last === ")" && unopened-- <= 0)) break;
  }
  return link.slice(0, end);
}

/** The text without its markup, for where there is no room for more. */
export const plain = (body: string): string =>
  tokenize(body)
    .map(({ kind, text }) => (kind === "block" ? ` ${text} ` : text))
    .join("");

/** The usernames that a text calls, in lower case. */
export function mentionsIn(body: string): Set<string> {
  const named = tokenize(body).filter(({ kind }) => kind === "mention");
  return new Set(named.map(({ text }) => text.slice(1).toLowerCase()));
}
