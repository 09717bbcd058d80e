// The events of the server. It connects again by itself, and goes on after the last event that it has seen.

const LONGEST_MS = 15_000;

export class Stream {
  constructor({ after, on, onState, onSignedOut }) {
    Object.assign(this, { after, on, onState, onSignedOut, failures: 0, source: null, timer: null });
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => document.hidden || this.#now());
    this.#connect();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.closed = true;
  }

  #now() {
    if (this.timer && !this.closed) this.#connect();
  }

  #connect() {
    clearTimeout(this.timer);
    this.timer = null;
    const source = new EventSource(`api/events?after=${this.after}`);
    this.source = source;
    source.onopen = () => {
      this.failures = 0;
      this.onState("connected");
    };
    source.onerror = () => this.#failed(source);
    for (const name of ["message", "draft", "typing", "settled", "ready"]) {
      source.addEventListener(name, (event) => this.#take(name, event));
    }
    source.addEventListener("reset", () => location.reload());
    source.addEventListener("logged-out", () => {
      this.close();
      this.onSignedOut();
    });
  }

  #take(name, event) {
    if (typeof event.data !== "string") return;
    if (event.lastEventId) this.after = Math.max(this.after, Number(event.lastEventId) || 0);
    this.on(name, JSON.parse(event.data));
  }

  async #failed(source) {
    if (this.closed || source !== this.source || this.timer) return;
    source.close();
    this.onState("reconnecting");
    this.failures += 1;
    const wait = Math.min(LONGEST_MS, 300 * 2 ** Math.min(this.failures, 6)) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.#connect(), wait);
    const answer = await fetch("api/state", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401 && !this.closed) {
      this.close();
      this.onSignedOut();
    }
  }
}
