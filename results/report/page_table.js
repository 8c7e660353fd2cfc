"use strict";
// The table of the selected trials: sorted by any column, filtered by a condition for each column, 100 rows at a time.

const ROWS = 100;
const ALLOWED = "Type a number or a condition: 0.1, <0.1, >=5, !=0.1, 0.01..0.1, or none.";

// Returns the test of a filter: part of a text, or for numbers `<0.1`, `>=5`, `0.01..0.1`, `0.1`; null if it cannot be read.
function filterTest(text, field) {
  const words = text.trim().toLowerCase();
  if (field.kind === "word") return (value) => String(value ?? NONE).toLowerCase().includes(words);
  if (words === "none" || words === NONE) return (value) => value === null;
  const number = "([-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?)";
  const compared = words.match(new RegExp(`^(<=|>=|<|>|=|!=)\\s*${number}$`));
  if (compared) {
    const limit = Number(compared[2]);
    const tests = { "<": (v) => v < limit, ">": (v) => v > limit, "<=": (v) => v <= limit, ">=": (v) => v >= limit, "=": (v) => v === limit, "!=": (v) => v !== limit };
    return (value) => value !== null && tests[compared[1]](value);
  }
  const range = words.match(new RegExp(`^${number}?\\s*\\.\\.\\s*${number}?$`));
  if (range && (range[1] || range[2])) {
    const [low, high] = [range[1] ? Number(range[1]) : -Infinity, range[2] ? Number(range[2]) : Infinity];
    return (value) => value !== null && value >= low && value <= high;
  }
  if (!new RegExp(`^${number}$`).test(words)) return null;
  return (value) => value !== null && (value === Number(words) || numberText(value) === words || numberText(value, 3) === words);
}

class TrialTable {
  constructor(page) {
    Object.assign(this, { page, model: page.model, limit: ROWS, order: { name: null, isFalling: false } });
    this.head = make("tr", { class: "names" });
    this.filters = make("tr", { class: "filters" });
    this.body = make("tbody");
    this.table = make("table", { class: "explored" }, make("caption", {}, "Trials. Press a header to sort; filters take a part of a word, or numbers as <0.1, >=5 and 0.01..0.1."),
      make("thead", {}, this.head, this.filters), this.body);
    this.count = make("span", { class: "note" });
    this.more = make("button", { type: "button", onclick: () => this.showMore() }, `Show ${ROWS} more`);
    this.card = make("section", { class: "view table", "aria-label": "Table of the trials" }, make("header", {}, make("h3", {}, "Trials"), this.count),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "trials" }, this.table), make("p", { class: "more" }, this.more));
    this.body.addEventListener("click", (event) => this.press(event));
  }

  showMore() {
    const before = this.body.rows.length;
    this.limit += ROWS;
    this.draw();
    this.body.rows[before]?.querySelector("button").focus();
  }

  press(event) {
    const row = event.target.closest("tr");
    if (!row || String(getSelection())) return;
    if (event.ctrlKey || event.metaKey) this.page.pin(row.dataset.key);
    else this.page.open(row.dataset.key);
  }

  columns() {
    const { model } = this, first = [...["status", "proposal", "purpose"].map((name) => model.field(name)), ...model.parameters, model.field(model.metric)].filter(Boolean);
    const key = { name: "key", label: "trial", kind: "word", role: "identity", values: [] };
    return [key, ...new Set([...first, ...model.fields])];
  }

  // Makes the headers again if the columns are others than before; filters that are typed stay.
  drawHead() {
    const columns = this.columns(), shape = JSON.stringify(columns.map((field) => [field.name, field.label, field.kind]));
    if (shape === this.shape) return;
    this.shape = shape;
    this.shown = columns;
    const kind = (field) => (field.kind === "number" ? "number" : null);
    this.head.replaceChildren(...columns.map((field) => make("th", { scope: "col", class: [kind(field), field.label.length > 22 ? "long" : null].filter(Boolean).join(" ") || null, "data-name": field.name },
      make("button", { type: "button", onclick: () => this.sortBy(field) }, field.label, make("span", { class: "arrow", "aria-hidden": "true" })))));
    this.filters.replaceChildren(...columns.map((field) => make("td", { class: kind(field) },
      make("input", { type: "search", "aria-label": `filter ${field.label}`, value: this.page.filters.get(field.name) ?? null, size: field.kind === "number" ? 7 : 9,
        placeholder: field.kind === "number" ? "<0.1" : null, title: field.kind === "number" ? ALLOWED : null,
        autocomplete: "off", spellcheck: "false", oninput: (event) => this.filter(field, event.target) }))));
  }

  sortBy(field) {
    const isSame = this.order.name === field.name;
    this.order = { name: field.name, isFalling: isSame && !this.order.isFalling };
    this.limit = ROWS;
    this.draw();
  }

  filter(field, input) {
    const text = input.value.trim(), test = text ? filterTest(text, field) : null;
    const isWrong = Boolean(text) && !test;
    input.setAttribute("aria-invalid", String(isWrong));
    if (field.kind === "number") input.title = isWrong ? `“${text}” selects nothing. ${ALLOWED}` : ALLOWED;
    if (text) this.page.filters.set(field.name, text);
    else this.page.filters.delete(field.name);
    this.limit = ROWS;
    this.page.constrain(`filter.${field.name}`, test && { label: `${field.label}: ${text}`, test: (index) => test(this.model.value(field.name, index)) });
  }

  clear(name) {
    this.page.filters.delete(name);
    const input = this.filters.cells[this.shown.findIndex((field) => field.name === name)]?.firstChild;
    if (!input) return;
    input.value = "";
    input.removeAttribute("aria-invalid");
    if (input.title) input.title = ALLOWED;
  }

  buttonOf(key) {
    return [...this.body.rows].find((row) => row.dataset.key === key)?.querySelector("button");
  }

  sorted() {
    const { model } = this, { name, isFalling } = this.order;
    if (!name || !model.data.trials[name]) return model.selected;
    const values = model.data.trials[name], field = model.field(name), sign = isFalling ? -1 : 1;
    const ranks = field?.kind === "word" ? new Map(field.values.map((word, rank) => [word, rank])) : null;
    const rank = ranks ? (value) => ranks.get(value) ?? null : (value) => value;
    return [...model.selected].sort((a, b) => {
      const [one, other] = [rank(values[a]), rank(values[b])];
      if (one === other) return a - b;
      if (one === null || other === null) return one === null ? 1 : -1;
      return one < other ? -sign : sign;
    });
  }

  draw() {
    const { model } = this;
    this.drawHead();
    [...this.head.cells].forEach((cell) => {
      const isSorted = cell.dataset.name === this.order.name;
      cell.setAttribute("aria-sort", !isSorted ? "none" : this.order.isFalling ? "descending" : "ascending");
      cell.querySelector(".arrow").textContent = !isSorted ? "" : this.order.isFalling ? " ▼" : " ▲";
    });
    const order = this.sorted(), shown = order.slice(0, this.limit), marked = new Set(model.highlighted);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : null;
    this.body.replaceChildren(...shown.map((index) => this.row(index, marked.has(index))));
    if (focused) this.buttonOf(focused)?.focus({ preventScroll: true });
    this.more.hidden = shown.length === order.length;
    this.count.textContent = shown.length < order.length ? `${shown.length} of ${order.length}` : `${order.length}`;
  }

  row(index, isMarked) {
    const { model } = this, key = model.keys[index], best = model.best;
    const row = make("tr", { "data-key": key, class: [isMarked ? "marked" : "", index === best ? "best" : ""].join(" ").trim() || null });
    for (const field of this.shown) {
      const cell = row.insertCell();
      if (field.kind === "number") cell.className = "number";
      if (field.name === "key") {
        cell.append(make("button", { type: "button", class: "key", title: key, "aria-label": `trial ${key.slice(0, 8)}: open` }, key.slice(0, 8)));
      } else if (field.name === "status") {
        const status = model.status(index);
        cell.append(make("span", { class: `status ${status}` }, `${SYMBOLS[status] ?? ""} ${status}`));
      } else cell.textContent = textOf(field, model.value(field.name, index));
    }
    return row;
  }
}
