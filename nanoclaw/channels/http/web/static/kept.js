// What this browser keeps: unsent texts, messages that wait to be sent, what was read, and the theme.

const PREFIX = "nanoclaw.";

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(key, value) {
  try {
    if (value === null || value === "") localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // The storage is full or forbidden. The page works without it.
  }
}

export const unsent = {
  get: (thread) => read(`unsent.${thread}`, ""),
  set: (thread, text) => write(`unsent.${thread}`, text),
};

export const outbox = {
  all: () => read("outbox", []),
  add: (message) => write("outbox", [...outbox.all().filter((each) => each.id !== message.id), message]),
  remove: (id) => {
    const left = outbox.all().filter((each) => each.id !== id);
    write("outbox", left.length ? left : null);
  },
};

export const seen = {
  get: (thread) => read("seen", {})[thread] ?? 0,
  set: (thread, seq) => seq > seen.get(thread) && write("seen", { ...read("seen", {}), [thread]: seq }),
};

export const lastThread = { get: () => read("thread", null), set: (thread) => write("thread", thread) };
export const theme = { get: () => read("theme", null), set: (name) => write("theme", name) };

export function forget() {
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(PREFIX) && key !== `${PREFIX}theme`) localStorage.removeItem(key);
  }
}
