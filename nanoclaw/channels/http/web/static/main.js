// The page of the web chat: joins its parts.

import * as api from "./api.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { $, h, randomId } from "./dom.js";
import { forget, lastThread, outbox, theme } from "./kept.js";
import { Messages } from "./messages.js";
import { Stream } from "./stream.js";

const AGAIN_MS = 3_000;
const LOGIN = /^#login=([\w-]+)$/;

let assistant = "Assistant";
let current = "";
let stream = null;
let newest = 0;
let loaded = false;
const sending = new Set();
const dropped = new Set();

// -- words for everybody

function announce(text) {
  $("announcer").textContent = "";
  setTimeout(() => { $("announcer").textContent = text; }, 50); // a screen reader only reads changes
}

let toastEnds;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => { $("toast").hidden = true; }, 5_000);
}

function showTitle() {
  const count = conversations.unread;
  document.title = `${count ? `(${count}) ` : ""}${assistant}`;
}

// -- parts

const messages = new Messages({
  announce,
  focus: () => composer.focus(),
  edit: (message) => composer.edit(message),
  again: (message) => deliver(message.outgoing),
  discard: (message) => {
    outbox.remove(message.id);
    messages.drop(message.id);
  },
  remove: async (message) => {
    if (!confirm("Delete this message?")) return;
    await trying(() => api.remove(message.thread, message.id));
  },
  react: (message, emoji) => {
    const removed = message.mine_reactions?.includes(emoji) ?? false;
    return trying(() => api.react({ thread: message.thread, id: message.id, emoji, removed, event_id: randomId() }));
  },
  press: async (message, more) => {
    const click = { thread: message.thread, id: message.id, question_id: message.card.question_id, event_id: randomId(), ...more };
    try {
      return (await api.press(click)).dropped;
    } catch (error) {
      return error.message;
    }
  },
});

const composer = new Composer({
  toast,
  onSend: (text, files) => deliver({ id: randomId(), thread: current, text, files }),
  onEdit: (message, text) => trying(() => api.send({ id: message.id, thread: message.thread, text, version: randomId() })),
  onEditLast: () => {
    const mine = [...messages.shown.values()].filter(({ message }) => message.author === "user" && message.text && !message.pending);
    const last = mine.sort((a, b) => a.message.seq - b.message.seq).at(-1);
    if (last) composer.edit(last.message);
  },
});

const conversations = new Conversations({ onOpen: (thread) => open(thread) });

async function trying(action) {
  try {
    const answer = await action();
    if (answer.dropped) toast(answer.dropped);
  } catch (error) {
    if (error.status === 401) signedOut();
    else toast(error.message);
  }
}

// -- sending

// A message stays in the outbox until the server has stored it, and may be sent again: its id is the same.
async function deliver(outgoing) {
  if (sending.has(outgoing.id)) return;
  sending.add(outgoing.id);
  outbox.add(outgoing);
  const shown = { ...outgoing, author: "user", seq: Number.MAX_SAFE_INTEGER, outgoing };
  if (outgoing.thread === current) {
    messages.show({ ...shown, pending: true });
    messages.toEnd();
  }
  try {
    const answer = await api.send(outgoing);
    outbox.remove(outgoing.id);
    sending.delete(outgoing.id);
    if (answer.message) {
      dropped.delete(answer.message.id);
      take(answer.message);
    }
    if (answer.held) toast("Your message waits until somebody lets you in.");
    if (answer.dropped) {
      dropped.add(answer.id);
      messages.drop(answer.id);
      if (outgoing.thread === current) messages.show({ ...shown, failed: answer.dropped });
      announce(answer.dropped);
    }
  } catch (error) {
    if (error.status === 401) signedOut();
    else if (error.final) {
      outbox.remove(outgoing.id);
      if (outgoing.thread === current) messages.show({ ...shown, failed: error.message });
      announce(error.message);
    } else setTimeout(() => deliver(outgoing), AGAIN_MS);
  } finally {
    sending.delete(outgoing.id);
  }
}

// -- what comes

function take(message) {
  if (dropped.has(message.id)) return; // the event was on its way when the host refused the message
  if (sending.has(message.client_id)) return; // the host may still refuse it; the answer to the request says so
  if (message.client_id && messages.get(message.client_id)) messages.drop(message.client_id);
  if (message.deleted) {
    if (message.thread === current) messages.drop(message.id);
    return;
  }
  const isNew = message.thread !== current || !messages.get(message.id) || messages.get(message.id).pending;
  if (message.thread === current) {
    if (message.author !== "user" && isNew) messages.hideDraft();
    messages.show(message);
    $("title").textContent = conversations.title(current);
  }
  conversations.add(message);
  if (message.thread === current) $("title").textContent = conversations.title(current);
  if (isNew && message.author !== "user" && message.seq > newest) {
    announce(`${message.name || assistant}: ${message.card?.title ?? message.plain ?? message.text ?? ""}`);
  }
  newest = Math.max(newest, message.seq);
  showTitle();
}

function on(name, data) {
  if (name === "message") return take(data);
  if (data.thread !== current) return undefined;
  if (name === "draft") return messages.showDraft(data.html);
  if (name === "typing") return messages.showTyping();
  if (name === "settled") {
    messages.hideDraft();
    if (data.outcome === "failed") toast("The assistant could not answer. Its log says why.");
  }
  return undefined;
}

// -- conversations

async function open(thread) {
  current = thread;
  loaded = false;
  lastThread.set(thread);
  conversations.open(thread);
  messages.clear();
  composer.open(thread);
  $("title").textContent = conversations.title(thread);
  $("earlier").hidden = true;
  showTitle();
  if (conversations.all.has(thread)) await trying(() => load(thread));
  for (const outgoing of outbox.all()) if (outgoing.thread === current) deliver(outgoing);
}

async function load(thread, before) {
  const answer = await api.history(thread, before);
  if (thread !== current) return {};
  messages.keepingPlace(() => answer.messages.forEach((message) => messages.show(message)));
  loaded = true;
  if (!before) messages.toEnd();
  $("earlier").hidden = !answer.more;
  return {};
}

// -- logging in and out

function signedOut(reason) {
  stream?.close();
  stream = null;
  $("app").hidden = true;
  $("signed-out").hidden = false;
  if (reason) $("gate-reason").textContent = reason;
  document.title = "Log in";
}

async function begin() {
  const token = LOGIN.exec(location.hash)?.[1];
  let problem;
  if (token) {
    history.replaceState(null, "", location.pathname); // the token must not stay in the address
    problem = await api.logIn(token).then(() => undefined, (error) => error.message);
  }
  try {
    start(await api.state());
    if (problem) toast(problem);
  } catch (error) {
    if (error.status === 401) return signedOut(problem);
    signedOut(error.message);
    setTimeout(begin, AGAIN_MS);
  }
  return undefined;
}

function start(state) {
  assistant = state.assistant;
  newest = state.after;
  $("assistant").textContent = assistant;
  $("greeting").textContent = `Hello! I am ${assistant}. How can I help?`;
  $("text").placeholder = `Message ${assistant}`;
  $("user").textContent = state.user;
  composer.largest = state.largest_file;
  showAgents(state.agents);
  $("signed-out").hidden = true;
  $("app").hidden = false;
  conversations.load(state.conversations);
  open(lastThread.get() ?? state.conversations[0]?.thread ?? newThread());
  for (const outgoing of outbox.all()) if (outgoing.thread !== current) deliver(outgoing);
  stream = new Stream({
    after: state.after,
    on,
    onState: (name) => {
      $("connection").textContent = name === "reconnecting" ? "Reconnecting …" : "";
      if (name === "connected" && !loaded && conversations.all.has(current)) trying(() => load(current));
    },
    onSignedOut: () => signedOut("This browser was logged out."),
  });
}

function newThread() {
  const agent = $("agent").value;
  return `${agent ? `${agent}/` : ""}c-${randomId()}`;
}

function showAgents(agents) {
  const [, ...others] = agents; // the page names conversations with the first one by the thread alone
  $("agent").replaceChildren(...agents.map(({ folder, name }, n) => h("option", { value: n ? folder : "" }, name)));
  $("agent-row").hidden = others.length === 0;
}

$("new-conversation").addEventListener("click", () => {
  conversations.toggle(false);
  open(newThread());
});
$("earlier").addEventListener("click", () => trying(() => load(current, messages.oldest())));
$("log-out").addEventListener("click", async () => {
  await trying(() => api.logOut());
  forget();
  signedOut("You are logged out.");
});

// -- theme

const dark = matchMedia("(prefers-color-scheme: dark)");
function showTheme() {
  document.documentElement.dataset.theme = theme.get() ?? (dark.matches ? "dark" : "light");
}
dark.addEventListener("change", showTheme);
$("theme").addEventListener("click", () => {
  theme.set(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  showTheme();
});
showTheme();

document.addEventListener("visibilitychange", () => {
  conversations.read();
  conversations.show();
  showTitle();
});
addEventListener("hashchange", () => LOGIN.test(location.hash) && location.reload());

begin();
