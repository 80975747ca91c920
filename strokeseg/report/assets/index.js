// The table of cases: sorting, filters, marks, and reviews as TSV.
"use strict";

(() => {
  const reviews = window.strokesegReview;
  const find = (id) => document.getElementById(id);
  const body = document.querySelector("#cases tbody");
  const heads = [...document.querySelectorAll("#cases th[data-sort]")];
  const rows = [...body.rows];
  const VIEW = `strokeseg-report/${document.documentElement.dataset.report}/view`;
  const NUMERIC = new Set(["volume", "count", "warnings"]);
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const order = { by: "name", down: false };
  const fields = {
    text: find("filter-text"),
    status: find("filter-status"),
    warnings: find("filter-warnings"),
    review: find("filter-review"),
    low: find("filter-low"),
    high: find("filter-high"),
  };

  for (const row of rows) {
    row.searched = `${row.textContent} ${row.dataset.key}`.toLowerCase();
    row.mark = "";
  }

  // ----- marks

  function showMark(row) {
    const review = reviews.get(row.dataset.key);
    const cell = row.querySelector(".review");
    cell.replaceChildren();
    row.mark = review ? review.mark : "";
    if (!review || (!review.mark && !review.comment)) return;
    if (review.mark) {
      const badge = document.createElement("span");
      badge.className = `badge ${review.mark}`;
      badge.textContent = review.mark;
      cell.append(badge);
    }
    if (review.comment) {
      const comment = document.createElement("div");
      comment.className = "quiet comment";
      comment.textContent = review.comment;
      cell.append(comment);
    }
    if (review.result && review.result !== row.dataset.result) {
      const old = document.createElement("div");
      old.className = "flag";
      old.textContent = "of an earlier result";
      cell.append(old);
    }
  }

  function showMarks() {
    rows.forEach(showMark);
    const counts = reviews.MARKS.map((mark) => rows.filter((row) => row.mark === mark).length);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const pieces = reviews.MARKS.map((mark, i) => `${counts[i]} ${mark}`);
    find("reviewed").textContent = total
      ? `${total} of ${rows.length} reviewed: ${pieces.join(", ")}`
      : "";
  }

  // ----- order and filters

  function value(row, by) {
    if (by === "review") return row.mark ? reviews.MARKS.indexOf(row.mark) : null;
    const text = row.dataset[by];
    if (!NUMERIC.has(by)) return text || null;
    const parsed = Number.parseFloat(text);
    return Number.isNaN(parsed) ? null : parsed;
  }

  function compare(first, second) {
    const a = value(first, order.by);
    const b = value(second, order.by);
    if (a === null || b === null) return Number(a === null) - Number(b === null); // missing last
    const sign = order.down ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : collator.compare(a, b));
  }

  function sort() {
    const byName = (a, b) => collator.compare(a.dataset.name, b.dataset.name);
    rows.sort((a, b) => compare(a, b) || byName(a, b));
    body.append(...rows);
    for (const head of heads) {
      const direction = order.down ? "descending" : "ascending";
      head.setAttribute("aria-sort", head.dataset.sort === order.by ? direction : "none");
    }
  }

  function wanted() {
    const words = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const low = Number.parseFloat(fields.low.value);
    const high = Number.parseFloat(fields.high.value);
    return (row) => {
      const volume = Number.parseFloat(row.dataset.volume);
      const warned = Number(row.dataset.warnings) > 0;
      const failed = row.dataset.status !== "done";
      return (
        words.every((word) => row.searched.includes(word)) &&
        (!fields.status.value || (fields.status.value === "failed") === failed) &&
        (!fields.warnings.value || (fields.warnings.value === "some") === warned) &&
        (!fields.review.value ||
          (fields.review.value === "none" ? !row.mark : row.mark === fields.review.value)) &&
        (Number.isNaN(low) || volume >= low) &&
        (Number.isNaN(high) || volume <= high)
      );
    };
  }

  function filter() {
    const isWanted = wanted();
    for (const row of rows) row.hidden = !isWanted(row);
    const shown = rows.filter((row) => !row.hidden);
    find("shown").textContent = `${shown.length} of ${rows.length} cases`;
    find("nothing").hidden = shown.length > 0;
    // Next and previous on the pages of cases follow what is shown here.
    const pages = shown.map((row) => `${row.id}.html`);
    reviews.setSetting("order", pages.length === rows.length && order.by === "name" && !order.down
      ? "" : JSON.stringify(pages));
    remember();
  }

  function remember() {
    const values = Object.entries(fields).map(([name, field]) => [name, field.value]);
    try {
      sessionStorage.setItem(VIEW, JSON.stringify({ order, fields: Object.fromEntries(values) }));
    } catch {
      // The view is not kept, and nothing else is lost.
    }
  }

  function recall() {
    try {
      const view = JSON.parse(sessionStorage.getItem(VIEW) ?? "null");
      if (!view) return;
      if (heads.some((head) => head.dataset.sort === view.order.by)) {
        order.by = view.order.by;
        order.down = Boolean(view.order.down);
      }
      for (const [name, field] of Object.entries(fields)) field.value = view.fields[name] ?? "";
    } catch {
      // What is not a view is none.
    }
  }

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const by = head.dataset.sort;
      // The largest comes first where numbers are sorted, as it is what one looks for.
      order.down = order.by === by ? !order.down : NUMERIC.has(by);
      order.by = by;
      sort();
      filter();
    });
  }
  for (const field of Object.values(fields)) {
    field.addEventListener("input", filter);
    field.addEventListener("change", filter);
  }
  find("filters").addEventListener("reset", () => window.setTimeout(filter, 0));
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    fields.text.focus();
  });

  // ----- reviews as TSV

  const COLUMNS = ["case", "key", "status", "lesion_volume_ml", "lesion_count", "mark", "comment"];
  COLUMNS.push("reviewer", "time", "result", "result_now");
  // A quote before it keeps a spreadsheet from running a text as a formula; import takes it off.
  const FORMULA = /^[=+@-](?!(\d+(\.\d*)?|\.\d+)?(e[+-]?\d+)?$)/i;
  const plain = (text) => {
    const flat = String(text).replace(/[\t\r\n]+/g, " ").trim();
    return FORMULA.test(flat) ? `'${flat}` : flat || "n/a";
  };

  function table() {
    const byName = [...rows].sort((a, b) => collator.compare(a.dataset.name, b.dataset.name));
    const lines = byName.map((row) => {
      const data = row.dataset;
      const review = reviews.get(data.key) ?? { mark: "", comment: "", reviewer: "" };
      const count = /^\d+$/.test(data.count) ? data.count : "";
      const cells = [data.name, data.key, data.status, data.volume, count, review.mark];
      cells.push(review.comment, review.reviewer, review.time ?? "", review.result ?? "");
      return [...cells, data.result];
    });
    return [COLUMNS, ...lines].map((line) => `${line.map(plain).join("\t")}\n`).join("");
  }

  function say(text) {
    find("message").textContent = text;
    find("message").hidden = false;
  }

  find("export").addEventListener("click", () => {
    const blob = new Blob([table()], { type: "text/tab-separated-values" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "reviews.tsv";
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

  function take(text) {
    const [head, ...lines] = text.split(/\r?\n/).filter(Boolean).map((line) => line.split("\t"));
    if (!head || !head.includes("mark") || !(head.includes("key") || head.includes("case"))) {
      say("This file is no table of reviews: it needs the columns key (or case) and mark.");
      return;
    }
    const known = new Map(rows.map((row) => [row.dataset.key, row.dataset.key]));
    for (const row of rows) if (!known.has(row.dataset.name)) known.set(row.dataset.name, row.dataset.key);
    let [taken, older, unknown] = [0, 0, 0];
    for (const line of lines) {
      const cell = (name) => {
        const text = line[head.indexOf(name)] ?? "";
        return text === "n/a" ? "" : text.replace(/^'(?=[=+@-])/, "");
      };
      const review = { mark: cell("mark"), comment: cell("comment"), reviewer: cell("reviewer") };
      review.time = cell("time") || new Date(0).toISOString();
      review.result = cell("result");
      const key = known.get(cell("key")) ?? known.get(cell("case"));
      if (key === undefined) unknown += 1;
      else if (!review.mark && !review.comment) continue;
      else if (reviews.merge(key, review)) taken += 1;
      else older += 1;
    }
    say(`${taken} reviews taken over; ${older} were no newer than those here` +
      `${unknown ? `; ${unknown} are of cases that this report does not have` : ""}.`);
  }

  find("import").addEventListener("click", () => find("import-file").click());
  find("import-file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) take(await file.text());
    event.target.value = "";
  });
  find("reviewer").value = reviews.getSetting("reviewer");
  find("reviewer").addEventListener("input", (event) => {
    reviews.setSetting("reviewer", event.target.value);
  });
  if (reviews.keepsNothing) {
    say("This browser keeps nothing for pages from disk: marks are lost when a page is left.");
  }

  function refresh() {
    showMarks();
    sort();
    filter();
  }
  reviews.onChange(refresh);
  window.addEventListener("pageshow", (event) => event.persisted && refresh());
  recall();
  refresh();
  if (window.location.hash) document.getElementById(window.location.hash.slice(1))?.scrollIntoView();
  document.documentElement.dataset.ready = "1";
})();
