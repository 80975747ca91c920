// Reviews: a mark and a comment for each case, kept in this browser under the report's id.
"use strict";

window.strokesegReview = (() => {
  const MARKS = ["accept", "edit", "reject"];
  const root = document.documentElement.dataset;
  const prefix = `strokeseg-report/${root.report}/`;
  const listeners = [];
  const memory = new Map(); // where the browser keeps nothing for pages from disk
  let storage = null;
  try {
    window.localStorage.setItem(`${prefix}probe`, "1");
    window.localStorage.removeItem(`${prefix}probe`);
    storage = window.localStorage;
  } catch {
    storage = null;
  }

  const read = (name) => (storage ? storage.getItem(prefix + name) : memory.get(name) ?? null);

  function write(name, text) {
    if (!storage) {
      memory.set(name, text);
      return false;
    }
    try {
      storage.setItem(prefix + name, text);
      return true;
    } catch {
      return false; // full
    }
  }

  // What comes back from storage, an address or a file may be anything.
  function clean(value) {
    if (!value || typeof value !== "object") return null;
    const text = (field, most) => String(value[field] ?? "").slice(0, most);
    const mark = MARKS.includes(value.mark) ? value.mark : "";
    const when = Date.parse(value.time);
    const isPast = when < Date.now() + 86400000; // clocks differ; a review of next year is none
    const time = isPast ? new Date(when).toISOString() : "";
    return {
      mark,
      comment: text("comment", 2000),
      reviewer: text("reviewer", 60),
      result: text("result", 64),
      time,
    };
  }

  function parse(text) {
    try {
      return JSON.parse(text ?? "null");
    } catch {
      return null;
    }
  }

  const get = (key) => clean(parse(read(`case/${key}`)));

  function set(key, review) {
    const kept = write(`case/${key}`, JSON.stringify(clean(review)));
    for (const listener of listeners) listener(key);
    return kept;
  }

  // The newer of two reviews of a case stays.
  function merge(key, review) {
    const theirs = clean(review);
    const mine = get(key);
    if (!theirs || (mine && mine.time >= theirs.time)) return false;
    set(key, theirs);
    return true;
  }

  function keys() {
    const names = storage ? Object.keys(storage) : [...memory.keys()].map((name) => prefix + name);
    const start = `${prefix}case/`;
    return names.filter((name) => name.startsWith(start)).map((name) => name.slice(start.length));
  }

  // Some browsers keep storage apart for every file, so that the index cannot see what a page
  // keeps. Then reviews and settings travel in the address of the next page, and nowhere else.
  const isIndex = root.root === "";
  function isShared() {
    if (!storage) return false;
    if (isIndex) return read("seen") === "1";
    if (read("home") !== "1") return false;
    write("seen", "1");
    return true;
  }
  if (isIndex) write("home", "1");

  const CARRIED = "#carried=";
  const SETTINGS = ["reviewer", "order", "advance", "convention"];

  function address(href) {
    if (window.location.protocol !== "file:" || isShared()) return href;
    const carried = {
      reviews: Object.fromEntries(keys().map((key) => [key, get(key)])),
      settings: Object.fromEntries(SETTINGS.map((name) => [name, read(`setting/${name}`) ?? ""])),
    };
    return `${href.replace(/#.*/, "")}${CARRIED}${encodeURIComponent(JSON.stringify(carried))}`;
  }

  function arrive() {
    if (!window.location.hash.startsWith(CARRIED)) return;
    let text = "";
    try {
      text = decodeURIComponent(window.location.hash.slice(CARRIED.length));
    } catch {
      text = "";
    }
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    const carried = parse(text) ?? {};
    for (const [key, review] of Object.entries(carried.reviews ?? {})) merge(key, review);
    for (const name of SETTINGS) {
      const setting = carried.settings?.[name];
      if (typeof setting === "string" && !isIndex) write(`setting/${name}`, setting);
    }
  }
  arrive();
  window.addEventListener("hashchange", arrive);
  isShared();

  document.addEventListener(
    "click",
    (event) => {
      const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
      if (!link) return;
      const plain = link.getAttribute("href");
      const carried = address(plain);
      if (carried === plain) return;
      link.setAttribute("href", carried);
      window.setTimeout(() => link.setAttribute("href", plain), 0);
    },
    true,
  );

  window.addEventListener("storage", (event) => {
    const start = `${prefix}case/`;
    if (event.key === null || event.key.startsWith(start)) {
      const key = event.key === null ? null : event.key.slice(start.length);
      for (const listener of listeners) listener(key);
    }
  });

  return {
    MARKS,
    get,
    set,
    merge,
    go: (href) => window.location.assign(address(href)),
    getSetting: (name) => read(`setting/${name}`) ?? "",
    setSetting: (name, text) => write(`setting/${name}`, text),
    keepsNothing: storage === null,
    onChange: (listener) => listeners.push(listener),
  };
})();
