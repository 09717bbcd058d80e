// The text that is being written, and the files that go with it.

import * as api from "./api.js";
import { $, h, randomId, size } from "./dom.js";
import { unsent } from "./kept.js";

const MOST_FILES = 20;
const AGAIN_MS = 2_000;

export class Composer {
  constructor({ onSend, onEdit, onEditLast, toast }) {
    Object.assign(this, { onSend, onEdit, onEditLast, toast, thread: "", edited: null, uploads: [], largest: Infinity });
    const text = $("text");
    text.addEventListener("input", () => this.#changed());
    text.addEventListener("keydown", (event) => this.#key(event));
    text.addEventListener("paste", (event) => this.#paste(event));
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    $("attach").addEventListener("click", () => $("picker").click());
    $("picker").addEventListener("change", () => {
      this.add($("picker").files);
      $("picker").value = "";
    });
    $("stop-editing").addEventListener("click", () => this.stopEditing());
    this.#acceptDrops();
  }

  open(thread) {
    this.edited = null;
    $("editing").hidden = true;
    this.thread = thread;
    $("text").value = unsent.get(thread);
    this.#fit();
    this.focus();
  }

  focus() {
    if (matchMedia("(hover: hover)").matches) $("text").focus(); // on a phone it would open the keyboard
  }

  edit(message) {
    this.edited = message;
    $("editing").hidden = false;
    $("text").value = message.text;
    $("text").focus();
    this.#fit();
  }

  stopEditing() {
    this.edited = null;
    $("editing").hidden = true;
    $("text").value = unsent.get(this.thread);
    this.#fit();
    $("text").focus();
  }

  submit() {
    const text = $("text").value.trim();
    if (this.edited) {
      if (text && text !== this.edited.text) this.onEdit(this.edited, text);
      this.stopEditing();
      return;
    }
    if (this.uploads.some((each) => each.state === "failed")) return this.toast("Remove the file that failed, or try again.");
    if (this.uploads.some((each) => each.state === "sending")) return this.toast("The files are not there yet.");
    const files = this.uploads.map(({ id, file }) => ({ id, name: file.name, size: file.size, type: file.type }));
    if (!text && !files.length) return;
    this.uploads = [];
    this.#list();
    $("text").value = "";
    unsent.set(this.thread, "");
    this.#fit();
    this.onSend(text, files);
  }

  // -- files

  add(files) {
    for (const file of files) {
      if (this.uploads.length >= MOST_FILES) return this.toast(`A message has at most ${MOST_FILES} files.`);
      if (file.size > this.largest) this.toast(`${file.name} has ${size(file.size)}; the limit is ${size(this.largest)}.`);
      else this.#upload({ id: randomId(), file, state: "sending", progress: 0 });
    }
    $("text").focus();
  }

  #upload(entry) {
    this.uploads.push(entry);
    this.#list();
    this.#attempt(entry, 3);
  }

  async #attempt(entry, tries) {
    const { done, abort } = api.upload(entry.id, entry.file, (progress) => {
      entry.progress = progress;
      if (entry.bar) entry.bar.value = progress;
    });
    entry.abort = abort;
    try {
      await done;
      entry.state = "ready";
    } catch (error) {
      if (entry.removed) return;
      if (!error.final && tries > 1) {
        setTimeout(() => entry.removed || this.#attempt(entry, tries - 1), AGAIN_MS);
        return;
      }
      entry.state = "failed";
      entry.problem = error.message;
    }
    this.#list();
  }

  #remove(entry) {
    entry.removed = true;
    entry.abort?.();
    this.uploads = this.uploads.filter((each) => each !== entry);
    this.#list();
    $("text").focus();
  }

  #list() {
    $("uploads").replaceChildren(...this.uploads.map((entry) => {
      const words = { sending: "uploading", ready: size(entry.file.size), failed: entry.problem }[entry.state];
      entry.bar = entry.state === "sending" ? h("progress", { max: 1, value: entry.progress, "aria-label": "Progress" }) : null;
      const remove = h("button", { className: "icon-button", type: "button", "aria-label": `Remove ${entry.file.name}`,
        onclick: () => this.#remove(entry) }, "✕");
      return h("li", { className: entry.state }, h("span", { className: "file-name" }, entry.file.name),
        h("span", { className: "state" }, words), remove, entry.bar);
    }));
    this.#fit();
  }

  #acceptDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    let depth = 0;
    addEventListener("dragenter", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += 1;
      $("drop").hidden = false;
    });
    addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    addEventListener("dragleave", (event) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth - 1);
      $("drop").hidden = depth === 0;
    });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      $("drop").hidden = true;
      this.add(event.dataTransfer.files);
    });
  }

  // -- text

  #changed() {
    if (!this.edited) unsent.set(this.thread, $("text").value);
    this.#fit();
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape" && this.edited) this.stopEditing();
    else if (event.key === "ArrowUp" && !event.target.value && !this.edited) {
      event.preventDefault();
      this.onEditLast();
    }
  }

  #paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  #fit() {
    const text = $("text");
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
    $("send").disabled = !text.value.trim() && !this.uploads.length;
  }
}
