// Builds elements, and turns the server's HTML into elements of an allow-list.

export const $ = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ALLOWED = new Set([
  "A", "B", "BLOCKQUOTE", "BR", "CODE", "DEL", "EM", "H1", "H2", "H3", "H4", "H5", "H6", "HR", "I", "LI", "OL", "P",
  "PRE", "S", "STRONG", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL",
]);
const LINK = /^(https?:|mailto:)/i;

// The server's HTML is safe already. This second check means that no fault there runs code here.
export function safeNodes(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fragment = document.createDocumentFragment();
  for (const node of parsed.body.childNodes) fragment.append(...copied(node));
  return fragment;
}

function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.data)];
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  const children = [...node.childNodes].flatMap(copied);
  if (!ALLOWED.has(node.tagName)) return children;
  const element = document.createElement(node.tagName);
  if (node.tagName === "A" && LINK.test(node.getAttribute("href") ?? "")) {
    element.href = node.getAttribute("href");
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
  }
  if (node.tagName === "OL" && node.start > 1) element.start = node.start;
  if (node.tagName === "CODE" && node.parentNode.tagName === "PRE") {
    element.dataset.language = /^language-([\w+#.-]{1,30})$/.exec(node.className)?.[1] ?? "";
  }
  element.append(...children);
  return [element];
}

export function withCopyButtons(fragment, announce) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const code = pre.querySelector("code") ?? pre;
    const button = h("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      const copied = await copy(code.textContent);
      button.textContent = copied ? "Copied" : "Select and copy by hand";
      announce(button.textContent);
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    const frame = h("div", { className: "code" });
    pre.replaceWith(frame);
    frame.append(h("div", { className: "code-head" }, h("span", {}, code.dataset.language || "text"), button), pre);
  }
  return fragment;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // exists only on loopback and behind TLS
    return true;
  } catch {
    const area = h("textarea", { value: text, className: "hidden" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  for (const [unit, of] of [["kB", 1e3], ["MB", 1e6], ["GB", 1e9]]) {
    if (bytes < of * 1000) return `${(bytes / of).toFixed(bytes < of * 10 ? 1 : 0)} ${unit}`;
  }
  return "too large";
}

export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID exists only in secure contexts
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
