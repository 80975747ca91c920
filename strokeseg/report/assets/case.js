// The page of a case: next and previous, the review, the rows of lesions.
"use strict";

(() => {
  const reviews = window.strokesegReview;
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("case").textContent);
  const marks = [...document.querySelectorAll(".marks button")];
  const comment = find("comment");
  const reviewer = find("reviewer");

  // ----- next and previous, in the order that the index showed last

  function neighbours() {
    let pages = null;
    try {
      pages = JSON.parse(reviews.getSetting("order") || "null");
    } catch {
      pages = null;
    }
    const isPage = (page) => typeof page === "string" && /^[A-Za-z0-9._-]+\.html$/.test(page);
    const at = Array.isArray(pages) && pages.every(isPage) ? pages.indexOf(data.page) : -1;
    if (at < 0) return;
    for (const [id, page] of [["previous", pages[at - 1]], ["next", pages[at + 1]]]) {
      find(id).hidden = !page;
      if (page) find(id).setAttribute("href", page);
    }
    find("place").textContent = `${at + 1} of ${pages.length} shown in the index`;
  }

  function go(id) {
    if (!find(id).hidden) reviews.go(find(id).getAttribute("href"));
  }

  // ----- the review

  function show() {
    const review = reviews.get(data.key);
    for (const button of marks) {
      button.setAttribute("aria-pressed", String(review?.mark === button.dataset.mark));
    }
    if (document.activeElement !== comment) comment.value = review?.comment ?? "";
    if (find("editing")) find("editing").hidden = review?.mark !== "edit";
    const kept = find("kept");
    if (!review || (!review.mark && !review.comment)) {
      kept.textContent = "Not reviewed yet.";
      reviewer.classList.remove("wanted");
    } else {
      const when = review.time ? new Date(review.time).toLocaleString() : "";
      const who = review.reviewer ? ` by ${review.reviewer}` : "";
      const asked = review.reviewer ? "" : " Whose is it? Write your initials above, once for all cases.";
      reviewer.classList.toggle("wanted", !review.reviewer && !reviewer.value);
      const old = review.result && review.result !== data.result
        ? " The result has changed since." : "";
      kept.textContent = `Kept in this browser${who}, ${when}.${old}${asked}`;
    }
    if (reviews.keepsNothing) kept.textContent = "This browser keeps nothing for pages from disk.";
  }

  function keep(change) {
    const before = reviews.get(data.key) ?? { mark: "", comment: "" };
    const now = { time: new Date().toISOString(), reviewer: reviews.getSetting("reviewer") };
    reviews.set(data.key, { ...before, ...change, ...now, result: data.result });
  }

  function mark(name) {
    const before = reviews.get(data.key)?.mark;
    const taken = before === name ? "" : name;
    keep({ mark: taken });
    if (taken && find("advance").checked) go("next");
  }

  reviewer.value = reviews.getSetting("reviewer");
  reviewer.addEventListener("input", () => reviews.setSetting("reviewer", reviewer.value.trim()));
  reviewer.addEventListener("change", () => {
    const review = reviews.get(data.key); // one that was made before anybody was asked
    if (reviewer.value.trim() && review && !review.reviewer && review.time) keep({});
  });
  for (const button of marks) button.addEventListener("click", () => mark(button.dataset.mark));
  comment.addEventListener("input", () => keep({ comment: comment.value }));
  find("advance").checked = reviews.getSetting("advance") === "1";
  find("advance").addEventListener("change", (event) => {
    reviews.setSetting("advance", event.target.checked ? "1" : "");
  });
  reviews.onChange((key) => (key === null || key === data.key) && show());

  // ----- lesions

  const table = find("lesions");
  table?.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-lesion]");
    const place = row && data.jumps[Number(row.dataset.lesion)];
    if (!place) return;
    for (const other of table.tBodies[0].rows) other.classList.toggle("chosen", other === row);
    document.dispatchEvent(new CustomEvent("strokeseg-jump", { detail: place }));
  });

  // ----- keys

  const actions = {
    n: () => go("next"),
    ArrowRight: () => go("next"),
    p: () => go("previous"),
    ArrowLeft: () => go("previous"),
    i: () => go("up"),
    a: () => mark("accept"),
    e: () => mark("edit"),
    r: () => mark("reject"),
    c: () => comment.focus(),
  };
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape" && event.target === comment) comment.blur();
      const isTyping = event.target.closest?.("textarea, select, input:not([type=checkbox])");
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (isTyping || !action || event.repeat) return;
      event.preventDefault();
      event.stopPropagation();
      action();
    },
    true,
  );

  neighbours();
  show();
  window.addEventListener("pageshow", (event) => event.persisted && show());
  document.documentElement.dataset.ready = "1";
})();
