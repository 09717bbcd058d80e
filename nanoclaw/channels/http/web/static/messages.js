// Shows the messages of one conversation.

import { $, h, safeNodes, size, withCopyButtons } from "./dom.js";

const EMOJI = ["👍", "👎", "❤️", "😄"];
const PICTURES = /^image\/(png|jpeg|gif|webp|avif)$/;
const TYPING_MS = 7_000; // the host repeats it every 4 s

export class Messages {
  constructor(actions) {
    this.actions = actions;
    this.shown = new Map();
    this.draft = null;
    this.typing = null;
    const scroll = $("scroll");
    scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    $("to-end").addEventListener("click", () => this.toEnd(true));
    new ResizeObserver(() => this.atEnd && this.toEnd()).observe($("log"));
    this.atEnd = true;
  }

  clear() {
    this.shown.clear();
    this.hideDraft();
    $("log").replaceChildren();
    this.atEnd = true;
    this.#empty();
  }

  // -- messages

  show(message) {
    const old = this.shown.get(message.id);
    const element = this.#element(message);
    this.shown.set(message.id, { message, element });
    if (old) {
      if (old.element.contains(document.activeElement)) this.actions.focus();
      if (old.message.seq === message.seq) {
        old.element.replaceWith(element);
        this.#follow();
        return;
      }
      old.element.remove();
    }
    this.#place(element, message);
    this.#days();
    this.#empty();
    this.#follow();
  }

  drop(id) {
    this.shown.get(id)?.element.remove();
    this.shown.delete(id);
    this.#days();
    this.#empty();
  }

  get(id) {
    return this.shown.get(id)?.message;
  }

  oldest() {
    return Math.min(...[...this.shown.values()].map(({ message }) => message.seq));
  }

  keepingPlace(change) {
    const scroll = $("scroll");
    const before = scroll.scrollHeight - scroll.scrollTop;
    change();
    scroll.scrollTop = scroll.scrollHeight - before;
  }

  #place(element, message) {
    const log = $("log");
    let next = null;
    for (let child = log.lastElementChild; child; child = child.previousElementSibling) {
      if (child.dataset.seq === undefined) {
        if (child === this.draft || child === this.typing) next = child;
        continue;
      }
      if (Number(child.dataset.seq) < message.seq) break;
      next = child;
    }
    log.insertBefore(element, next);
  }

  #days() {
    let last = new Date().toDateString();
    for (const old of $("log").querySelectorAll(".day")) old.remove();
    for (const element of $("log").querySelectorAll(".message[data-at]")) {
      const day = new Date(element.dataset.at);
      if (day.toDateString() === last) continue;
      last = day.toDateString();
      const words = last === new Date().toDateString() ? "Today"
        : day.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
      element.before(h("li", { className: "day" }, words));
    }
  }

  #element(message) {
    const mine = message.author === "user";
    const element = h("li", { className: `message${mine ? " mine" : ""}${message.pending ? " pending" : ""}` });
    element.dataset.seq = message.seq;
    element.dataset.id = message.id;
    if (message.at) element.dataset.at = message.at;
    element.append(h("span", { className: "hidden" }, mine ? "You: " : `${message.name || "Assistant"}: `));
    if (message.card) element.append(this.#card(message));
    else if (message.html || message.text) element.append(this.#bubble(message));
    if (message.files?.length) element.append(files(message.files));
    if (message.reactions?.length || message.mine_reactions?.length) element.append(this.#reactions(message));
    element.append(this.#meta(message, mine));
    return element;
  }

  #bubble(message) {
    const bubble = h("div", { className: "bubble" });
    if (message.html) bubble.append(this.#body(message.html));
    else bubble.append(h("div", { className: "body plain", textContent: message.text }));
    return bubble;
  }

  #body(html) {
    return h("div", { className: "body" }, withCopyButtons(safeNodes(html), this.actions.announce));
  }

  #meta(message, mine) {
    const parts = [];
    if (message.failed) {
      parts.push(h("span", { className: "failed" }, message.failed));
      parts.push(h("button", { className: "text-button", type: "button", onclick: () => this.actions.again(message) }, "Try again"));
      parts.push(h("button", { className: "text-button", type: "button", onclick: () => this.actions.discard(message) }, "Remove"));
    } else if (message.pending) parts.push(h("span", {}, "Sending …"));
    else {
      const at = new Date(message.at);
      parts.push(h("time", { dateTime: message.at, title: at.toLocaleString() },
        at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })));
      if (message.edited && !message.card) parts.push(h("span", {}, "edited"));
      parts.push(this.#tools(message, mine));
    }
    return h("div", { className: "meta" }, ...parts);
  }

  #tools(message, mine) {
    const tools = h("span", { className: "tools" });
    const add = (words, label, action) =>
      tools.append(h("button", { type: "button", "aria-label": label, title: label, onclick: action }, words));
    if (mine) {
      if (message.text) add("Edit", "Edit this message", () => this.actions.edit(message));
      add("Delete", "Delete this message", () => this.actions.remove(message));
    } else if (!message.card) {
      for (const emoji of EMOJI) add(emoji, `React with ${emoji}`, () => this.actions.react(message, emoji));
    }
    return tools;
  }

  #reactions(message) {
    const list = h("div", { className: "reactions" });
    for (const emoji of message.mine_reactions ?? []) {
      list.append(h("button", { type: "button", "aria-pressed": "true", "aria-label": `Take back ${emoji}`,
        onclick: () => this.actions.react(message, emoji) }, emoji));
    }
    for (const emoji of message.reactions ?? []) list.append(h("span", {}, emoji));
    return list;
  }

  // -- cards

  #card(message) {
    const { card } = message;
    const box = h("section", { className: "card", "aria-label": card.title || "Card" });
    if (card.title) box.append(h("h2", {}, card.title));
    if (card.html) box.append(this.#body(card.html));
    if (card.question_id === undefined) return box;
    const refused = h("p", { className: "refused", role: "alert", hidden: true });
    const options = h("div", { className: "options", role: "group" });
    const press = async (button, more) => {
      for (const each of box.querySelectorAll("button")) each.disabled = true;
      button.classList.add("waiting");
      const problem = await this.actions.press(message, more);
      button.classList.remove("waiting");
      for (const each of box.querySelectorAll("button")) each.disabled = false;
      refused.hidden = !problem;
      refused.textContent = problem ?? "";
    };
    for (const option of card.options) {
      const button = h("button", { type: "button", textContent: option.label, className: option.done ? "done" : "" });
      button.dataset.value = option.value;
      if (option.chosen !== null) {
        button.setAttribute("role", "checkbox");
        button.setAttribute("aria-checked", String(option.chosen));
      }
      button.addEventListener("click", () => press(button, { value: option.value }));
      options.append(button);
    }
    box.append(options);
    if (card.free_text) box.append(this.#ownWords(press));
    box.append(refused);
    return box;
  }

  #ownWords(press) {
    const input = h("input", { type: "text", placeholder: "Or in your own words", "aria-label": "Your own answer" });
    const button = h("button", { type: "submit" }, "Answer");
    return h("form", { className: "own-words", onsubmit: (event) => {
      event.preventDefault();
      if (input.value.trim()) press(button, { value: "", text: input.value.trim() });
    } }, input, button);
  }

  // -- drafts and typing

  showDraft(html) {
    if (!html) return this.hideDraft();
    this.#stopTyping();
    if (!this.draft) {
      this.draft = h("li", { className: "message draft", "aria-hidden": "true" });
      $("log").append(this.draft);
      this.#empty();
    }
    this.draft.replaceChildren(h("div", { className: "bubble" }, this.#body(html)));
    return this.#follow();
  }

  hideDraft() {
    this.draft?.remove();
    this.draft = null;
    this.#stopTyping();
  }

  showTyping() {
    if (this.draft) return;
    clearTimeout(this.typingEnds);
    this.typingEnds = setTimeout(() => this.#stopTyping(), TYPING_MS);
    if (this.typing) return;
    this.typing = h("li", { className: "message typing" },
      h("div", { className: "dots", role: "img", "aria-label": "The assistant is at work" }, h("i"), h("i"), h("i")));
    $("log").append(this.typing);
    this.#follow();
  }

  #stopTyping() {
    clearTimeout(this.typingEnds);
    this.typing?.remove();
    this.typing = null;
  }

  // -- scrolling

  toEnd(smoothly = false) {
    const scroll = $("scroll");
    scroll.scrollTo({ top: scroll.scrollHeight, behavior: smoothly ? "smooth" : "instant" });
    this.atEnd = true;
    $("to-end").hidden = true;
  }

  #follow() {
    if (this.atEnd) this.toEnd();
    else $("to-end").hidden = false;
  }

  #scrolled() {
    const scroll = $("scroll");
    this.atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
    if (this.atEnd) $("to-end").hidden = true;
  }

  #empty() {
    $("welcome").hidden = this.shown.size > 0 || this.draft !== null;
  }
}

function files(list) {
  return h("div", { className: "files" }, ...list.map((file) => {
    const link = file.url ? h("a", { className: "file", href: file.url, download: file.name })
      : h("span", { className: "file" });
    if (file.url && PICTURES.test(file.type)) {
      link.classList.add("picture");
      link.append(h("img", { src: file.url, alt: file.name, loading: "lazy" }));
    } else {
      link.append(h("span", { className: "file-name" }, file.name), h("span", { className: "file-size" }, size(file.size)));
    }
    return link;
  }));
}
