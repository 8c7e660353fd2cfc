"use strict";
// The interactive part of the page: what is selected, the trial that is open, the theme, and new data.

class Detail {
  constructor(page) {
    Object.assign(this, { page, model: page.model });
    this.title = make("h3", { tabindex: "-1" });
    this.content = make("div", { class: "content" });
    this.plot = make("div", { class: "plot small", role: "img" });
    const close = make("button", { type: "button", onclick: () => this.page.open(null) }, "Close");
    this.pin = make("button", { type: "button", onclick: () => this.page.pin(this.model.opened) });
    this.panel = make("aside", { class: "detail", hidden: true, "aria-label": "The open trial" },
      make("header", {}, this.title, make("div", { class: "buttons" }, this.pin, close)), this.plot, this.content);
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.page.open(null);
    });
  }

  draw(isFocused) {
    const { model } = this, index = model.positions.get(model.opened);
    if (index === undefined) {
      const wasOpen = !this.panel.hidden;
      this.panel.hidden = true;
      if (wasOpen) (this.page.table.buttonOf(this.shown) ?? this.before)?.focus?.();
      return;
    }
    if (isFocused) this.before = document.activeElement;
    this.shown = model.opened;
    this.panel.hidden = false;
    const status = model.status(index), isPinned = model.pinned.has(model.opened);
    this.title.textContent = `Trial ${model.opened}`;
    this.pin.textContent = isPinned ? "Unpin" : "Pin";
    this.pin.setAttribute("aria-pressed", String(isPinned));
    const { error, log, ...rest } = model.data.details[index] ?? {};
    const facts = (pairs) => make("dl", {}, ...pairs.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
    const texts = (fields) => fields.map((field) => [field.label, textOf(field, model.value(field.name, index), 10)]);
    this.content.replaceChildren(
      make("p", {}, make("span", { class: `status ${status}` }, `${SYMBOLS[status] ?? ""} ${status}`)),
      ...(error ? [make("pre", { tabindex: "0" }, error)] : []),
      facts(texts(model.parameters)), make("h4", {}, "Results"), facts(texts(model.fields.filter((field) => field.role === "result"))),
      make("h4", {}, "Training"), facts([...texts(model.fields.filter((field) => field.role === "identity" && field.name !== "status")), ...Object.entries(rest)]),
      make("h4", {}, "Log"), log ? make("pre", { tabindex: "0" }, log) : this.log(model.opened),
      make("details", {}, make("summary", {}, "Shared by all trials"), facts(model.data.shared ?? [])));
    this.drawCurve(index);
    if (isFocused) this.title.focus();
  }

  // The end of the log, from the server that shows the page or as the command that prints it.
  log(key) {
    const { logs } = this.page.root.dataset;
    if (!logs) return make("p", { class: "note" }, "On the machine with the store, whose path is PATH: ", make("code", {}, `python tune_main.py logs ${key} --store PATH`));
    const index = this.model.positions.get(key), state = `${key} ${this.model.status(index)} ${this.model.data.details[index]?.progress}`;
    if (this.logOf?.state === state) return this.logOf.text;
    const text = this.logOf?.key === key ? this.logOf.text : make("pre", { tabindex: "0" }, "…");
    this.logOf = { key, state, text };
    fetch(logs + encodeURIComponent(key)).then((answer) => answer.text()).then((content) => {
      text.textContent = content.split("\n").slice(-40).join("\n");
    }, () => {
      text.textContent = "the server does not answer";
    });
    return text;
  }

  drawCurve(index) {
    const { curves } = this.model.data, theme = this.page.theme, { metric } = this.page.curves;
    const known = metric ? curves[metric][index].map((value, at) => [curves.epochs[index][at], value]).filter(([, value]) => value !== null) : [];
    this.plot.hidden = !known.length;
    if (!known.length) return;
    this.chart ??= echarts.init(this.plot, null, { renderer: "canvas" });
    this.chart.resize();
    const spec = curves.metrics.find(({ name }) => name === metric), scale = new Scale({ ...spec, kind: "number", role: "result" }, known.map(([, value]) => value));
    const epochs = new Scale({ label: "epoch", kind: "number", log: false, role: "result", isWhole: true }, known.map(([epoch]) => epoch));
    this.plot.setAttribute("aria-label", `Learning curve: ${spec.label} from ${numberText(known[0][1])} to ${numberText(known.at(-1)[1])} after epoch ${known.at(-1)[0]}.`);
    this.chart.setOption({ animation: false, grid: { left: 56, right: 14, top: 26, bottom: 30 },
      tooltip: tooltipOptions(theme, { trigger: "axis", formatter: ([{ value }]) => make("span", {}, `epoch ${value[0]}: ${numberText(value[2])}`) }),
      xAxis: axisOptions(epochs, theme, null, { name: "", most: 5, splitLine: { show: false } }),
      yAxis: axisOptions(scale, theme, null, { most: 4, nameLocation: "end", nameGap: 8, nameTextStyle: { color: theme.quiet, fontSize: 12, align: "left", padding: [0, 0, 0, -48] } }),
      series: [{ type: "line", data: known.map(([epoch, value]) => [epoch, scale.inner(value), value]), showSymbol: known.length < 20, symbolSize: 5,
        lineStyle: { color: theme.link, width: 2 }, itemStyle: { color: theme.link } }] }, { notMerge: true });
  }
}

class Page {
  constructor(root) {
    this.root = root;
    this.model = new Model();
    this.filters = new Map();  // field name -> text
    this.theme = currentTheme();
    this.scatter = new Scatter(this);
    this.parallel = new Parallel(this);
    this.curves = new Curves(this);
    this.heat = new HeatMap(this);
    this.table = new TrialTable(this);
    this.detail = new Detail(this);
    this.charts = [this.scatter, this.parallel, this.curves, this.heat];
    const [metric, metrics] = select("metric", [], "", (name) => this.setMetric(name));
    const [color, colors] = select("colour", [], "", (name) => {
      this.model.color = this.model.picked.color = name;
      this.draw(true);
    });
    Object.assign(this, { metrics, colors });
    this.legend = make("div", { class: "legend" });
    this.chips = make("div", { class: "chips" });
    this.count = make("p", { class: "count", role: "status", "aria-live": "polite" });
    this.bar = make("div", { class: "bar" }, make("div", { class: "controls" }, metric, color, this.legend), make("div", { class: "state" }, this.count, this.chips));
    this.lack = make("p", { class: "note" });
    root.append(make("h2", {}, "Explore"), this.bar, this.lack, make("div", { class: "views" }, ...this.charts.map((view) => view.card)), this.table.card, this.detail.panel);
    root.hidden = false;
    this.charts.forEach((view) => view.start());
    addEventListener("hashchange", () => this.follow(location.hash));
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    matchMedia("print").addEventListener("change", (media) => this.print(media.matches));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.setTheme(document.documentElement.dataset.theme));
  }

  load(data) {
    const hovered = this.charts.map((view) => this.model.keys[view.hovered]);
    this.model.load(data);
    this.charts.forEach((view, number) => {
      view.hovered = this.model.positions.get(hovered[number]) ?? null;
    });
    this.root.classList.toggle("nothing", !data.trials.key.length);
    this.draw(true);
  }

  setMetric(name) {
    this.model.metric = this.model.picked.metric = name;
    this.model.scales.clear();  // of an objective, they leave out confirmations
    this.scatter.follow();
    this.curves.follow();
    this.draw(true);
  }

  draw(isWhole) {
    const { model } = this;
    if (!model.keys.length) return;
    setOptions(this.metrics, model.results, model.metric);
    setOptions(this.colors, model.fields, model.color);
    model.best = model.better && model.ranked.find((index) => model.value(model.metric, index) !== null);
    this.drawState();
    for (const view of this.charts) view.card.hidden = view.isBare;
    const bare = this.charts.filter((view) => view.isBare).map((view) => view.title.toLowerCase());
    this.lack.textContent = `${model.parameters.length ? "Only one parameter varies" : "No parameter varies"}: there is nothing to show in ${bare.join(", ")}.`.replace(/, (?=[^,]*$)/, " and ");
    this.lack.hidden = !bare.length;
    this.charts.filter((view) => !view.isBare).forEach((view) => view.draw(isWhole));
    this.table.draw();
    if (isWhole || model.opened !== null) this.detail.draw(false);
  }

  drawState() {
    const { model } = this, total = model.keys.length, number = model.selected.length;
    this.count.textContent = model.isSelecting ? `${number} of ${counted(total, "trial")} selected` : counted(total, "trial");
    const chips = [...model.constraints].map(([name, { label }]) => make("button", { type: "button", class: "chip", "aria-label": `no longer select by ${label}`,
      onclick: () => this.release(name) }, make("span", {}, label), make("span", { "aria-hidden": "true" }, " ×")));
    const pins = model.pinned.size ? [make("button", { type: "button", class: "chip", onclick: () => this.unpin() }, `${model.pinned.size} pinned ×`)] : [];
    const clear = model.isSelecting ? [make("button", { type: "button", class: "clear", onclick: () => this.clear() }, "Clear selection")] : [];
    this.chips.replaceChildren(...chips, ...pins, ...clear);
    const field = model.field(model.color), scale = model.scale(model.color), key = (color, text) => {
      const spot = make("i", {});
      spot.style.background = color;
      return make("span", { class: "key" }, spot, text);
    };
    const bar = make("i", { class: "ramp" });
    bar.style.background = `linear-gradient(90deg, ${RAMP.join(", ")})`;
    const end = (position) => numberText(scale.isLog ? 10 ** scale.places.at(position) : scale.places.at(position), 4);
    const isStatus = field.name === "status", symbolOf = (word) => (isStatus ? `${SYMBOLS[word]} ` : "");
    const colors = field.kind === "word" ? field.values.slice(0, PALETTE.length).map((word) => key(colorAt(field, scale, word, this.theme), symbolOf(word) + shortened(word, 18)))
      : scale.places.length > 1 ? [make("span", { class: "key" }, end(0), bar, end(-1))] : [];
    const symbols = !isStatus && model.field("status").values.length > 1 ? model.field("status").values.map((word) => make("span", { class: "key" }, `${SYMBOLS[word]} ${word}`)) : [];
    this.legend.replaceChildren(...colors, ...symbols);
  }

  constrain(name, constraint) {
    this.model.constrain(name, constraint);
    this.draw(false);
  }

  release(name) {
    this.model.constrain(name, null);
    if (name.startsWith("filter.")) this.table.clear(name.slice(7));
    this.draw(false);
    if (name.startsWith("parallel.")) this.parallel.restore();
  }

  clear() {
    this.model.constraints.clear();
    this.model.constrain("", null);
    for (const name of [...this.filters.keys()]) this.table.clear(name);
    this.draw(false);
    this.parallel.restore();
  }

  open(key) {
    const isFocused = key !== null && key !== this.model.opened;
    this.model.opened = key;
    this.draw(false);
    this.detail.draw(isFocused);
  }

  pin(key) {
    if (!this.model.pinned.delete(key)) this.model.pinned.add(key);
    this.draw(false);
  }

  unpin() {
    this.model.pinned.clear();
    this.draw(false);
  }

  // Goes to what a link of the static tables leads to: a trial, or all runs of a configuration.
  follow(hash) {
    const [, kind, name] = /^#(trial|runs)-([0-9a-f]+)$/.exec(hash) ?? [];
    if (!kind) return;
    if (kind === "trial" && this.model.positions.has(name)) this.open(name);
    else if (kind === "runs") {
      this.clear();
      this.constrain("runs", { label: `configuration ${name}`, test: (index) => this.model.value("cell", index) === Number(name) });
    }
    this.table.card.scrollIntoView();
  }

  // Draws the charts for paper, light and no wider than it, and every row of the table; or for the screen again.
  print(isPrinting) {
    if (isPrinting === Boolean(this.onScreen)) return;
    const { limit, theme } = this.onScreen ?? { limit: Infinity, theme: "light" };
    this.onScreen = isPrinting ? { limit: this.table.limit, theme: document.documentElement.dataset.theme } : null;
    this.table.limit = limit;
    this.root.classList.toggle("printing", isPrinting);
    for (const view of this.charts) view.chart.resize();
    if (!theme) delete document.documentElement.dataset.theme;
    this.setTheme(theme);
  }

  setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    this.theme = currentTheme();
    for (const rule of [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])) {
      if (rule instanceof CSSMediaRule && (rule.isDark ||= rule.conditionText.includes("prefers-color-scheme: dark"))) {
        rule.media.mediaText = !theme ? "(prefers-color-scheme: dark)" : this.theme.isDark ? "all" : "not all";
      }
    }
    this.theme = currentTheme();
    this.draw(true);
  }
}

window.batchscape = (() => {
  const root = document.getElementById("explorer"), source = document.getElementById("page-data");
  let page = null;
  const fail = (error) => {
    console.error(error);
    root.hidden = true;
    for (const part of document.querySelectorAll("noscript")) part.outerHTML = part.textContent;
  };
  const update = (data) => {
    page.load(data);
  };
  try {
    page = new Page(root);
    const button = make("button", { type: "button", class: "theme", onclick: () => page.setTheme(page.theme.isDark ? "light" : "dark") }, "Light / dark");
    document.querySelector("body > header")?.append(button);
    document.querySelector("body > header nav")?.prepend(make("a", { href: "#explorer" }, "Explore"));
    if (source) update(JSON.parse(source.textContent));
    page.follow(location.hash);
  } catch (error) {
    fail(error);
  }
  return { update, page };
})();
