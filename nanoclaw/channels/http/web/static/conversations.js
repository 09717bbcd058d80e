// The list of conversations, and what is unread in them.

import { $, h } from "./dom.js";
import { seen } from "./kept.js";

export class Conversations {
  constructor({ onOpen }) {
    this.onOpen = onOpen;
    this.all = new Map();
    this.current = "";
    $("open-sidebar").addEventListener("click", () => this.toggle(true));
    $("close-sidebar").addEventListener("click", () => this.toggle(false));
    $("chat").addEventListener("click", (event) => event.target.closest("#open-sidebar") || this.toggle(false));
    addEventListener("keydown", (event) => event.key === "Escape" && this.toggle(false));
  }

  toggle(open) {
    const was = $("sidebar").classList.toggle("open", open);
    $("open-sidebar").setAttribute("aria-expanded", String(was));
    if (open) $("close-sidebar").focus();
  }

  load(list) {
    this.all = new Map(list.map((each) => [each.thread, { unread: new Set(), ...each }]));
    for (const each of this.all.values()) {
      if (!seen.get(each.thread)) seen.set(each.thread, each.seq);
      if (seen.get(each.thread) < each.seq) each.unread.add("while the page was closed");
    }
    this.show();
  }

  open(thread) {
    this.current = thread;
    this.read();
    this.show();
  }

  title(thread) {
    return this.all.get(thread)?.title || "New conversation";
  }

  add(message) {
    const before = this.all.get(message.thread);
    const known = before ?? { thread: message.thread, title: titleOf(message), unread: new Set(), seq: 0 };
    if (message.seq > known.seq) Object.assign(known, { seq: message.seq, at: message.at });
    const away = document.hidden || message.thread !== this.current;
    if (message.author !== "user" && away && message.seq > seen.get(message.thread)) known.unread.add(message.id);
    this.all.set(message.thread, known);
    if (!away) this.read();
    this.show();
  }

  read() {
    const current = this.all.get(this.current);
    if (!current || document.hidden) return;
    current.unread.clear();
    seen.set(this.current, current.seq);
  }

  get unread() {
    return [...this.all.values()].reduce((sum, each) => sum + each.unread.size, 0);
  }

  show() {
    const sorted = [...this.all.values()].sort((a, b) => b.seq - a.seq);
    const focused = document.activeElement?.dataset?.thread;
    $("conversations").replaceChildren(...sorted.map((each) => this.#row(each)));
    if (focused !== undefined) $("conversations").querySelector(`[data-thread="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(each) {
    const button = h("button", { type: "button", onclick: () => {
      this.toggle(false);
      this.onOpen(each.thread);
    } }, h("span", { className: "name" }, each.title || "New conversation"));
    button.dataset.thread = each.thread;
    if (each.thread === this.current) button.setAttribute("aria-current", "true");
    if (each.unread.size) {
      button.append(h("span", { className: "unread", "aria-label": `${each.unread.size} unread` }, String(each.unread.size)));
    } else if (each.at) button.append(h("span", { className: "when" }, when(new Date(each.at))));
    return h("li", {}, button);
  }
}

function when(date) {
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

function titleOf(message) {
  if (!message.thread || message.thread.endsWith("/")) return "Inbox"; // what belongs to no conversation
  const text = message.card?.title || message.text || message.files?.[0]?.name || "";
  return text.split("\n")[0].slice(0, 60);
}
