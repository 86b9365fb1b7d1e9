// One room as this window has it: the log up to `seq`, and a window of messages in their present state.
//
// What must stay true: every event is applied once and in the order of `seq`. What is older is a duplicate; what is
// further ahead than the next one shows that something was left out, which is then read from `room:events`.

const PAGE = 50;
const KEPT = 600;

// The server reads a page a moment after the last event that this window has, so that the page may hold a reaction
// whose event is yet to come. Counts of messages this fresh are read again instead of being added up.
const FRESH_MS = 3_000;

export class Room {
  /** The server's Room. */
  info;
  /** Whether this window has subscribed to it. */
  opened = false;
  seq = 0;
  messages = [];
  hasMore = true;
  loading = false;
  /** Whether the server is being told that it was read. */
  reading = false;
  draft = '';
  /** Who is online, unless they are too many to be listed. */
  online = null;
  typing = new Map();
  #ask;
  #on;
  #myId;
  #target = 0;
  #catchingUp = false;
  #touched = new Set();
  #opening = null;

  /** `ask(event, payload)` resolves to the answer; `on(room, message)` hears what changed,
   * one message or anything. */
  constructor(info, myId, ask, on) {
    this.info = info;
    this.#myId = myId;
    this.#ask = (event, payload) => ask(event, { roomId: info.id, ...payload });
    this.#on = (message) => on(this, message);
  }

  /** What a new connection is told, to get what was missed. */
  get resumePoint() {
    return { seq: this.seq, epoch: this.info.epoch };
  }

  /** Subscribes and loads the end of the log. */
  open() {
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #open() {
    const { room, headSeq } = await this.#ask('room:join');
    Object.assign(this.info, room);
    Object.assign(this, { opened: true, seq: headSeq, messages: [], hasMore: true, loading: false });
    this.#target = headSeq;
    await this.loadOlder();
  }

  /** Subscribes again after the server left events out. */
  async rejoin() {
    const answer = await this.#ask('room:join', { since: this.seq, epoch: this.info.epoch });
    if (!answer.reset) Object.assign(this.info, answer.room);
    for (const { type, ...event } of answer.missed) this.receive(type, event);
    await this.resumed(answer);
  }

  /** A replay is over. */
  async resumed({ headSeq, reset }) {
    if (reset) return this.open();
    this.#target = Math.max(this.#target, headSeq);
    await this.#catchUp();
  }

  /** Takes a durable event. */
  receive(name, event) {
    if (!this.opened || event.seq <= this.seq) return;
    if (this.#catchingUp || event.seq > this.seq + 1) {
      this.#target = Math.max(this.#target, event.seq);
      this.#catchUp().catch(() => {});
    } else {
      this.#apply(name, event);
    }
  }

  /** Puts a message in its place unless it is there. */
  insert(message) {
    let at = this.messages.length;
    while (at > 0 && this.messages[at - 1].seq > message.seq) at--;
    if (this.messages[at - 1]?.seq === message.seq) return;
    this.messages.splice(at, 0, message);
    this.#on(message);
  }

  find(seq) {
    return this.messages.find((message) => message.seq === seq);
  }

  /** Reads the page before the oldest message. */
  async loadOlder() {
    if (this.loading || !this.hasMore) return;
    this.loading = true;
    this.#touched.clear();
    try {
      const { messages, hasMore } = await this.#ask('message:history', { before: this.messages[0]?.seq, limit: PAGE });
      for (const message of messages) this.insert({ ...message, readAt: Date.now() });
      this.hasMore = hasMore;
    } finally {
      this.loading = false;
    }
    this.#on();
    for (const seq of this.#touched) await this.#reread(seq);
  }

  /** One message of this room, wherever it is. */
  async read(seq) {
    const { messages } = await this.#ask('message:history', { after: seq - 1, limit: 1 });
    return messages.find((message) => message.seq === seq);
  }

  /** Forgets the oldest messages of a long visit; they can be loaded again. */
  trim() {
    if (this.messages.length <= KEPT) return;
    this.messages.splice(0, this.messages.length - KEPT / 2);
    this.hasMore = true;
  }

  async #catchUp() {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    try {
      while (this.seq < this.#target) {
        const { events } = await this.#ask('room:events', { after: this.seq });
        for (const { type, ...event } of events) this.#apply(type, event);
        // An event can be heard of a moment before it can be read.
        if (events.length === 0) await new Promise((resolve) => setTimeout(resolve, 250));
      }
    } finally {
      this.#catchingUp = false;
    }
  }

  #apply(name, event) {
    this.seq = event.seq;
    if (name === 'room:void') return;
    if (name === 'message:new') {
      if (event.sender.id !== this.#myId) this.info.unread = (this.info.unread ?? 0) + 1;
      this.insert(event);
      return;
    }
    const message = this.find(event.of);
    if (!message) {
      // The page that is being loaded may have been read before this.
      this.#touched.add(event.of);
      return;
    }
    if (name === 'message:edited') {
      const { body, editedAt } = event.message;
      Object.assign(message, { body, editedAt });
    } else if (name === 'message:deleted') {
      Object.assign(message, { body: '', reactions: [], deletedAt: message.deletedAt ?? true });
    } else if (name === 'message:reacted') {
      if (Date.now() - message.readAt < FRESH_MS) this.#reread(message.seq).catch(() => {});
      else this.#react(message, event);
    }
    this.#on(message);
  }

  #react(message, { emoji, userId, on }) {
    const reaction = message.reactions.find((one) => one.emoji === emoji) ?? { emoji, count: 0, mine: false };
    reaction.count += on ? 1 : -1;
    if (userId === this.#myId) reaction.mine = on;
    const rest = message.reactions.filter((one) => one !== reaction);
    if (reaction.count <= 0) message.reactions = rest;
    else if (rest.length === message.reactions.length) message.reactions.push(reaction);
  }

  async #reread(seq) {
    const now = await this.read(seq);
    const message = this.find(seq);
    if (!now || !message) return;
    Object.assign(message, now, { readAt: Date.now() });
    this.#on(message);
  }
}
