// Requests to the server. Each changes what it names once, however often it is repeated with the same id.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }

  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }
}

const OFFLINE = "The assistant cannot be reached.";

async function request(method, path, body) {
  const options = { method, headers: { "X-Nanoclaw": "1" }, cache: "no-store" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(`api/${path}`, options);
  } catch {
    throw new Refused(0, OFFLINE);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.error?.message ?? `The server says ${response.status}.`);
  return answer;
}

const part = encodeURIComponent;

export const logIn = (token) => request("POST", "login", { token });
export const logOut = () => request("POST", "logout", {});
export const state = () => request("GET", "state");
export const history = (thread, before) =>
  request("GET", `messages?thread=${part(thread)}${before ? `&before=${before}` : ""}`);
export const send = (message) => request("POST", "messages", message);
export const remove = (thread, id) => request("POST", "deletions", { thread, id });
export const press = (click) => request("POST", "clicks", click);
export const react = (reaction) => request("POST", "reactions", reaction);

export function upload(id, file, onProgress) {
  const sending = new XMLHttpRequest(); // fetch reports no progress of uploads
  const done = new Promise((resolve, reject) => {
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onload = () => {
      let answer = {};
      try { answer = JSON.parse(sending.responseText); } catch { /* the status says enough */ }
      if (sending.status < 300) resolve(answer);
      else reject(new Refused(sending.status, answer.error?.message ?? `The server says ${sending.status}.`));
    };
    sending.onerror = () => reject(new Refused(0, OFFLINE));
    sending.onabort = () => reject(new Refused(400, "Removed."));
  });
  sending.open("PUT", `api/uploads/${id}?name=${part(file.name || "file")}`);
  sending.setRequestHeader("X-Nanoclaw", "1");
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.send(file);
  return { done, abort: () => sending.abort() };
}
