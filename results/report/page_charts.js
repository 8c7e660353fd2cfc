"use strict";
// The four charts: each draws the model, and turns a drag or a click into a constraint of the selection.

const MOST_LINES = 1000, MOST_CURVES = 100, BEST_CURVES = 20, MOST_STEPS = 12, NUM_BINS = 8, MOST_AXES = 9;

function select(label, options, value, onchange) {
  const list = make("select", { onchange: (event) => onchange(event.target.value) });
  setOptions(list, options, value);
  return [make("label", {}, make("span", {}, label), list), list];
}

function setOptions(list, options, value) {
  const texts = options.map((field) => `${field.name}\n${field.label}`).join("\n\n");
  if (list.dataset.options !== texts) {
    list.replaceChildren(...options.map((field) => make("option", { value: field.name }, field.label)));
    list.dataset.options = texts;
  }
  list.value = value;
}

// A card with a title, controls and a chart, which is drawn again when its size changes.
class View {
  constructor(page, { name, title }) {
    Object.assign(this, { page, model: page.model, name });
    this.controls = make("div", { class: "controls" });
    this.buttons = this.makeButtons();
    this.plot = make("div", { class: "plot", role: "img" });
    this.note = make("p", { class: "note" });
    this.card = make("section", { class: `view ${name}`, "aria-label": title },
      make("header", {}, make("h3", {}, title), this.buttons), this.controls, this.plot, this.note);
  }

  makeButtons() {
    return null;
  }

  start() {
    this.chart = echarts.init(this.plot, null, { renderer: "canvas" });
    this.chart.on("click", (event) => {
      const index = this.indexOf(event);
      if (index !== null) this.page.open(this.model.keys[index]);
    });
    new ResizeObserver(() => {
      if (this.chart.getWidth() === this.plot.clientWidth && this.chart.getHeight() === this.plot.clientHeight) return;
      this.chart.resize();
      this.draw(true);
    }).observe(this.plot);
  }

  describe(text, note = "") {
    this.plot.setAttribute("aria-label", text);
    this.note.textContent = note;
    this.note.hidden = !note;
  }

  tooltip(theme) {
    return { trigger: "item", confine: true, transitionDuration: 0, backgroundColor: theme.box, borderColor: theme.line,
      textStyle: { color: theme.text, fontSize: 12 }, extraCssText: "max-width: 20rem; white-space: normal",
      formatter: (event) => {
        const index = this.indexOf(event);
        return index === null ? "" : trialCard(this.model, index);
      } };
  }

  axis(scale, theme, zoomed, more = {}) {
    const [low, high] = zoomed ?? [scale.low, scale.high];
    const ticks = scale.ticks(low, high, more.most ?? 7);
    return { type: "value", min: low, max: high, name: scale.field.label, nameLocation: "middle", nameGap: 30,
      nameTextStyle: { color: theme.quiet, fontSize: 12 }, axisLine: { show: true, onZero: false, lineStyle: { color: theme.line } },
      axisTick: { show: true, customValues: ticks, lineStyle: { color: theme.line } },
      axisLabel: { customValues: ticks, color: theme.quiet, fontSize: 11, hideOverlap: true, textBorderColor: theme.page, textBorderWidth: 3,
        formatter: (place) => shortened(scale.text(nearest(ticks, place)), 14) },
      splitLine: { lineStyle: { color: theme.line, opacity: 0.6 } }, ...more };
  }
}

function nearest(places, place) {
  return places.reduce((best, other) => (Math.abs(other - place) < Math.abs(best - place) ? other : best), places[0] ?? place);
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// What a tooltip tells of a trial.
function trialCard(model, index) {
  const rows = [...model.parameters, ...new Set([model.field(model.metric), ...model.results.slice(0, 3)])];
  const head = `${SYMBOLS[model.status(index)]?.[1] ?? ""} ${model.status(index)}`;
  return make("div", { class: "hover" }, make("strong", {}, `trial ${model.keys[index].slice(0, 8)}`), ` ${head}`,
    make("table", {}, ...rows.map((field) => make("tr", {},
      make("th", {}, field.label), make("td", {}, textOf(field, model.value(field.name, index)))))));
}

// A chart with two axes: a drag selects a rectangle, or zooms into it.
class PlaneView extends View {
  constructor(page, words) {
    super(page, words);
    this.zoom = null;
    this.area = make("div", { class: "area", hidden: true });
  }

  makeButtons() {
    const mode = (isZoom, text) => make("button", { type: "button", "aria-pressed": String(!isZoom), onclick: () => this.setMode(isZoom) }, text);
    this.modes = [mode(false, "Select"), mode(true, "Zoom")];
    this.reset = make("button", { type: "button", hidden: true, onclick: () => this.setZoom(null) }, "Reset zoom");
    return make("div", { class: "buttons", role: "group", "aria-label": "a drag on the chart" }, ...this.modes, this.reset);
  }

  setMode(isZoom) {
    this.isZoom = isZoom;
    this.modes.forEach((button, index) => button.setAttribute("aria-pressed", String(Boolean(index) === isZoom)));
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.reset.hidden = zoom === null;
    this.draw(true);
  }

  start() {
    super.start();
    this.plot.append(this.area);
    this.plot.addEventListener("pointerdown", (event) => this.press(event));
  }

  press(event) {
    const box = this.plot.getBoundingClientRect(), at = (other) => [other.clientX - box.left, other.clientY - box.top];
    const from = at(event);
    if (event.button || !this.chart.containPixel("grid", from)) return;
    let isDrag = false;
    const move = (next) => {
      const to = at(next);
      isDrag ||= Math.hypot(to[0] - from[0], to[1] - from[1]) > 5;
      if (isDrag) this.showArea(from, to);
    };
    const end = (next) => {
      for (const [name, act] of listeners) window.removeEventListener(name, act);
      if (!isDrag) return;
      this.area.hidden = true;
      if (next.type === "pointerup") this.take(this.rectangle(from, at(next)));
    };
    const listeners = [["pointermove", move], ["pointerup", end], ["pointercancel", end]];
    for (const [name, act] of listeners) window.addEventListener(name, act);
  }

  // The axes' values between two corners in pixels.
  rectangle(from, to) {
    const [one, other] = [from, to].map((point) => this.chart.convertFromPixel("grid", point));
    const sorted = (axis) => [Math.min(one[axis], other[axis]), Math.max(one[axis], other[axis])];
    return { x: sorted(0), y: sorted(1) };
  }

  take(rectangle) {
    if (!this.isZoom) return this.choose(rectangle);
    const [low, high] = this.limits();
    const within = (range, axis) => [Math.max(range[0], low[axis]), Math.min(range[1], high[axis])];
    return this.setZoom({ x: within(rectangle.x, 0), y: within(rectangle.y, 1) });
  }

  showArea(from, to) {
    const [left, top] = [0, 1].map((axis) => Math.min(from[axis], to[axis]));
    const [width, height] = [0, 1].map((axis) => Math.abs(from[axis] - to[axis]));
    Object.assign(this.area.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    this.area.hidden = false;
  }

  // Draws the rectangle that stays selected.
  markArea(chosen) {
    this.area.hidden = !chosen;
    if (!chosen) return;
    const grid = this.grid, clamp = ([x, y]) => [
      Math.min(Math.max(x, grid.left), this.chart.getWidth() - grid.right),
      Math.min(Math.max(y, grid.top), this.chart.getHeight() - grid.bottom)];
    const [from, to] = [0, 1].map((end) => clamp(this.chart.convertToPixel("grid", [chosen.x[end], chosen.y[end]])));
    this.showArea(from, to);
  }
}

function between([low, high], place) {
  return place !== null && place >= low && place <= high;
}

class Scatter extends PlaneView {
  constructor(page) {
    super(page, { name: "scatter", title: "Scatter plot" });
    this.grid = { left: 62, right: 20, top: 14, bottom: 48 };
    this.lists = ["x", "y"].map((axis) => {
      const [label, list] = select(axis, [], "", (name) => this.choices({ [axis]: name }));
      this.controls.append(label);
      return list;
    });
  }

  choices(changed) {
    Object.assign(this, changed);
    this.page.release("scatter");
    this.setZoom(null);
  }

  defaults() {
    const { model } = this;
    if (!model.field(this.x)) this.x = model.axes[0] ?? model.results.at(-1).name;
    if (!model.field(this.y) || this.y === this.followed) this.y = this.followed = model.metric;
    setOptions(this.lists[0], model.fields, this.x);
    setOptions(this.lists[1], model.fields, this.y);
  }

  limits() {
    const [x, y] = [this.x, this.y].map((name) => this.model.scale(name));
    return [[x.low, y.low], [x.high, y.high]];
  }

  choose({ x, y }) {
    const names = [this.x, this.y], { model } = this;
    const place = (axis, index) => model.scale(names[axis]).place(model.value(names[axis], index));
    const text = ([low, high], axis) => rangeText(model.scale(names[axis]), low, high);
    this.page.constrain("scatter", {
      label: `scatter plot: ${text(x, 0)}, ${text(y, 1)}`, area: { x, y },
      test: (index) => between(x, place(0, index)) && between(y, place(1, index)),
    });
  }

  indexOf(event) {
    return event.seriesId === "selected" ? event.value[2] : null;
  }

  draw(isWhole) {
    const { model } = this, theme = this.page.theme;
    if (isWhole) this.defaults();
    if (!model.keys.length) return;
    const [x, y] = [this.x, this.y].map((name) => model.scale(name)), xs = model.data.trials[this.x], ys = model.data.trials[this.y];
    const point = (index) => [x.place(xs[index]), y.place(ys[index]), index];
    const size = model.keys.length > 800 ? 6 : 9;
    const series = [
      { id: "selected", type: "scatter", data: model.selected.map(point), symbolSize: size, z: 3,
        symbol: (value) => SYMBOLS[model.status(value[2])]?.[0] ?? "circle",
        itemStyle: { color: (event) => model.colorOf(event.value[2], theme), opacity: 0.9 },
        emphasis: { scale: 1.6 } },
      { id: "marked", type: "scatter", silent: true, data: model.highlighted.map(point), symbolSize: size + 9, symbol: "circle", z: 4,
        itemStyle: { color: "transparent", borderColor: theme.text, borderWidth: 2 } },
    ];
    if (!isWhole) this.chart.setOption({ series });
    else {
      const lines = [[x.edge, "xAxis"], [y.edge, "yAxis"]].filter(([edge]) => edge !== null).map(([edge, axis]) => ({ [axis]: edge }));
      series.unshift({ id: "all", type: "scatter", silent: true, data: model.indices.map(point), symbolSize: size - 2, z: 2,
        itemStyle: { color: theme.faint, opacity: 0.5 },
        markLine: { silent: true, symbol: "none", data: lines, label: { show: false }, lineStyle: { color: theme.quiet, type: "dashed", opacity: 0.6 } } });
      this.chart.setOption({ animation: false, grid: this.grid, tooltip: this.tooltip(theme), series,
        xAxis: this.axis(x, theme, this.zoom?.x, { most: this.chart.getWidth() / 90 }),
        yAxis: this.axis(y, theme, this.zoom?.y, { nameGap: 46 }) }, { notMerge: true });
    }
    this.markArea(model.constraints.get("scatter")?.area);
    const lost = model.indices.filter((index) => [xs[index], ys[index]].includes(null)).length;
    this.describe(`Scatter plot of ${y.field.label} against ${x.field.label}, ${model.selected.length} trials in colour by ${model.field(model.color)?.label}. The table below has the same values.`,
      lost ? `${lost} of ${model.keys.length} trials have no value: they are at the edge, beyond the dashed line's tick “none”.` : "");
  }
}

function rangeText(scale, low, high) {
  const inside = scale.places.filter((place) => place >= low && place <= high);
  if (scale.field.kind === "word") return `${scale.field.label} ${inside.map((place) => scale.text(place)).join(" or ") || "none"}`;
  if (scale.edge !== null && low > (scale.places.at(-1) ?? -Infinity)) return `${scale.field.label} none`;
  const end = (place) => numberText(scale.isLog ? 10 ** place : place, 3);
  return `${scale.field.label} ${end(low)} to ${end(Math.min(high, scale.high))}`;
}

class Parallel extends View {
  constructor(page) {
    super(page, { name: "parallel", title: "Parallel coordinates" });
    this.controls.append(make("span", {}, "Drag along an axis to select."));
  }

  start() {
    super.start();
    this.chart.on("axisareaselected", (event) => {
      const name = this.names?.[Number(String(event.parallelAxisId).replace("axis", ""))];
      if (name && !this.isSetting) this.choose(name, event.intervals ?? []);
    });
  }

  choose(name, intervals) {
    const { model } = this;
    const texts = intervals.map(([low, high]) => rangeText(model.scale(name), low, high));
    this.page.constrain(`parallel.${name}`, intervals.length ? {
      label: texts.join(" or "), intervals,
      test: (index) => {
        const place = model.scale(name).place(model.value(name, index));
        return intervals.some((range) => between(range, place));
      } } : null);
  }

  indexOf(event) {
    return event.seriesId === "selected" ? event.data?.trial ?? null : null;
  }

  draw(isWhole) {
    const { model } = this, theme = this.page.theme;
    if (!model.keys.length) return;
    this.names = [...model.parameters.slice(0, MOST_AXES - 1).map((field) => field.name), model.metric];
    const scales = this.names.map((name) => model.scale(name));
    const columns = this.names.map((name) => model.data.trials[name]);
    const line = (index, style) => ({ trial: index, value: scales.map((scale, axis) => scale.place(columns[axis][index]) ?? "-"), lineStyle: style });
    const chosen = model.some(model.selected, MOST_LINES), marked = model.highlighted;
    const width = chosen.length > 200 ? 1 : 1.6, opacity = chosen.length > 200 ? 0.5 : 0.85;
    const shared = { type: "parallel", progressive: 0, smooth: 0, inactiveOpacity: 1, activeOpacity: 1 };
    const series = [
      { id: "selected", z: 3, ...shared, lineStyle: { width, opacity }, inactiveOpacity: opacity, activeOpacity: opacity, emphasis: { lineStyle: { width: 3, opacity: 1 } },
        data: chosen.map((index) => line(index, { color: model.colorOf(index, theme) })) },
      { id: "marked", z: 4, silent: true, ...shared, lineStyle: { width: 3, opacity: 1 },
        data: marked.map((index) => line(index, { color: theme.text })) },
    ];
    if (!isWhole) this.chart.setOption({ series });
    else {
      const isUpright = this.chart.getWidth() / this.names.length < 78;
      this.plot.classList.toggle("upright", isUpright);
      series.unshift({ id: "all", z: 2, silent: true, ...shared, inactiveOpacity: 0.25, activeOpacity: 0.25, lineStyle: { width: 1, color: theme.faint, opacity: 0.25 },
        data: model.some(model.indices, MOST_LINES).map((index) => line(index)) });
      this.chart.setOption({ animation: false, series, tooltip: this.tooltip(theme),
        parallel: isUpright ? { layout: "vertical", left: 110, right: 28, top: 24, bottom: 24 }
          : { left: 46, right: 56, top: 54, bottom: 22 },
        parallelAxis: scales.map((scale, dim) => ({ ...this.axis(scale, theme, null, { most: isUpright ? 4 : 7 }), dim, id: `axis${dim}`,
          name: broken(scale.field.label), nameLocation: isUpright ? "start" : "end", nameGap: 12, splitLine: undefined, realtime: true,
          nameTextStyle: { color: theme.text, fontSize: 11, lineHeight: 13, width: isUpright ? 96 : 110, overflow: "truncate" },
          axisLine: { lineStyle: { color: theme.quiet } }, z: 10,
          areaSelectStyle: { width: 18, color: theme.link, opacity: 0.25, borderColor: theme.link, borderWidth: 1 } })) },
      { notMerge: true });
      this.restore();
    }
    const left = model.parameters.length - this.names.length + 1;
    const notes = [chosen.length < model.selected.length ? `${MOST_LINES} of ${model.selected.length} lines are drawn: the best half of them, the others evenly by rank.` : "",
      left > 0 ? `The first ${this.names.length - 1} of ${model.parameters.length} parameters.` : ""];
    this.describe(`Parallel coordinates: a line for each of ${chosen.length} trials through ${scales.map((scale) => scale.field.label).join(", ")}. Filters of the table select the same.`,
      notes.filter(Boolean).join(" "));
  }

  // Shows the intervals of the constraints on the axes, also after one was released elsewhere.
  restore() {
    this.isSetting = true;
    this.names?.forEach((name, dim) => this.chart.dispatchAction({ type: "axisAreaSelect", parallelAxisId: `axis${dim}`,
      intervals: this.model.constraints.get(`parallel.${name}`)?.intervals ?? [] }));
    this.isSetting = false;
  }
}

function broken(label) {
  const lines = [""];
  for (const part of label.split(/(?<=[ _])/)) {
    if (lines.at(-1).length + part.length > 15 && lines.at(-1)) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.slice(0, 3).join("\n");
}

class Curves extends PlaneView {
  constructor(page) {
    super(page, { name: "curves", title: "Learning curves" });
    this.grid = { left: 62, right: 20, top: 14, bottom: 48 };
    const [label, list] = select("metric", [], "", (name) => {
      this.metric = name;
      this.page.release("curves");
      this.setZoom(null);
    });
    this.list = list;
    this.controls.append(label);
  }

  // The scales of the epochs and of the metric, over all trials.
  scales() {
    const { curves } = this.model.data, metric = curves.metrics.find(({ name }) => name === this.metric);
    const values = curves[this.metric].flat().filter((value) => value !== null);
    const scale = new Scale({ ...metric, kind: "number", role: "result" }, values);
    const epochs = new Scale({ label: "epoch", kind: "number", log: false, role: "result" }, curves.epochs.flat());
    if (epochs.places.length > 1) epochs.low = epochs.places[0] - 0.01 * (epochs.places.at(-1) - epochs.places[0]);
    return [epochs, scale];
  }

  limits() {
    return [[this.epochs.low, this.scale.low], [this.epochs.high, this.scale.high]];
  }

  choose({ x, y }) {
    const { model } = this, name = this.metric;
    this.page.constrain("curves", {
      label: `learning curves: ${rangeText(this.scale, ...y)} in epochs ${Math.ceil(x[0])} to ${Math.floor(x[1])}`, area: { x, y },
      test: (index) => model.data.curves.epochs[index].some((epoch, at) => between(x, epoch)
        && between(y, this.scale.inner(model.data.curves[name][index][at]))),
    });
  }

  indexOf(event) {
    return event.seriesId === "curves" ? this.drawn[event.dataIndex] : null;
  }

  draw(isWhole) {
    const { model } = this, theme = this.page.theme, { metrics, epochs, rule } = model.data.curves;
    if (!metrics.length) return this.describe("Learning curves: no epoch is recorded yet.", "No epoch is recorded yet.");
    if (isWhole || !this.scale) {
      if (!metrics.some(({ name }) => name === this.metric)) this.metric = (metrics.find(({ name }) => model.metric.endsWith(name)) ?? metrics[0]).name;
      setOptions(this.list, metrics, this.metric);
      [this.epochs, this.scale] = this.scales();
    }
    const values = model.data.curves[this.metric], most = model.isSelecting ? MOST_CURVES : BEST_CURVES;
    const known = model.selected.filter((index) => epochs[index].length);
    const wanted = new Set(known), ranked = model.ranked.filter((index) => wanted.has(index));
    const chosen = model.isSelecting ? model.some(known, most) : ranked.slice(0, most);
    const marked = model.highlighted.filter((index) => epochs[index].length), isMarked = new Set(marked);
    this.drawn = [...chosen.filter((index) => !isMarked.has(index)), ...marked];
    const series = [{ id: "curves", type: "custom", clip: true, z: 3, data: this.drawn.map((index) => [epochs[index].at(-1), 0, index]),
      renderItem: (params, api) => {
        const index = this.drawn[params.dataIndex], color = isMarked.has(index) ? theme.text : model.colorOf(index, theme);
        return curveShape(api, epochs[index], values[index].map((value) => this.scale.inner(value)), color, isMarked.has(index), model.status(index));
      } }];
    if (!isWhole) this.chart.setOption({ series });
    else {
      this.chart.setOption({ animation: false, grid: this.grid, tooltip: this.tooltip(theme), series,
        xAxis: this.axis(this.epochs, theme, this.zoom?.x, { most: this.chart.getWidth() / 90, splitLine: { show: false } }),
        yAxis: this.axis(this.scale, theme, this.zoom?.y, { nameGap: 46 }) }, { notMerge: true });
    }
    this.markArea(model.constraints.get("curves")?.area);
    const which = model.isSelecting ? (chosen.length < known.length ? `${most} of the ${known.length} selected trials: the best half of them, the others evenly by rank.` : `${chosen.length} selected trials.`)
      : chosen.length < known.length ? `The best ${chosen.length} of ${known.length} trials; select to see others.` : "";
    const label = metrics.find(({ name }) => name === this.metric).label;
    this.describe(`Learning curves: ${label} by epoch of ${this.drawn.length} trials.`, `${which} ${rule}`.trim());
  }
}

function curveShape(api, epochs, places, color, isMarked, status) {
  const points = [];
  epochs.forEach((epoch, at) => {
    if (places[at] !== null) points.push(api.coord([epoch, places[at]]));
  });
  const style = { stroke: color, lineWidth: isMarked ? 3 : 1.6, fill: "none", opacity: isMarked ? 1 : 0.85 };
  const last = points.at(-1), children = [{ type: "polyline", shape: { points }, style, emphasis: { style: { lineWidth: 3.5, opacity: 1 } } }];
  if (last && (points.length === 1 || status !== "complete")) {
    children.push(status === "diverged" || status === "failed"
      ? { type: "text", x: last[0], y: last[1], style: { text: SYMBOLS[status][1], fill: color, align: "center", verticalAlign: "middle", fontSize: 11 } }
      : { type: "circle", shape: { cx: last[0], cy: last[1], r: 3 }, style: { fill: color } });
  }
  return { type: "group", children };
}

class HeatMap extends PlaneView {
  makeButtons() {
    return null;
  }

  constructor(page) {
    super(page, { name: "heat", title: "Heat map" });
    this.lists = ["x", "y"].map((axis) => {
      const [label, list] = select(axis, [], "", (name) => {
        this[axis] = name;
        this.page.release("heat");
        this.draw(true);
      });
      this.controls.append(label);
      return list;
    });
  }

  defaults() {
    const names = this.model.parameters.map((field) => field.name);
    if (!names.includes(this.x)) this.x = this.model.axes[0];
    if (!names.includes(this.y) || this.y === this.x) this.y = names.find((name) => name !== this.x);
    setOptions(this.lists[0], this.model.parameters, this.x);
    setOptions(this.lists[1], this.model.parameters, this.y);
  }

  start() {
    super.start();
    this.chart.getZr().on("click", ({ offsetX, offsetY }) => {
      if (!this.steps || !this.chart.containPixel("grid", [offsetX, offsetY])) return;
      const [x, y] = this.chart.convertFromPixel("grid", [offsetX, offsetY]).map(Math.round);
      const before = this.model.constraints.get("heat")?.area;
      const area = { x: [x - 0.5, x + 0.5], y: [y - 0.5, y + 0.5] };
      if (before && before.x[0] === area.x[0] && before.x[1] === area.x[1] && before.y[0] === area.y[0] && before.y[1] === area.y[1]) this.page.release("heat");
      else this.choose(area);
    });
  }

  choose({ x, y }) {
    const whole = ([low, high]) => [Math.ceil(low - 0.5 + 1e-6) - 0.5, Math.floor(high + 0.5 - 1e-6) + 0.5];
    const area = { x: whole(x), y: whole(y) }, [columns, rows] = this.steps, names = [this.x, this.y], { model } = this;
    const text = (steps, range) => steps.texts.filter((_, step) => between(range, step)).join(", ");
    this.page.constrain("heat", {
      label: `heat map: ${model.field(names[0]).label} ${text(columns, area.x)}; ${model.field(names[1]).label} ${text(rows, area.y)}`, area,
      test: (index) => between(area.x, columns.step(model.value(names[0], index))) && between(area.y, rows.step(model.value(names[1], index))),
    });
  }

  limits() {
    return [[0, 0], [0, 0]];
  }

  indexOf() {
    return null;
  }

  draw(isWhole) {
    const { model } = this, theme = this.page.theme;
    this.defaults();
    this.card.classList.toggle("empty", !this.y);
    if (!this.y) return this.describe("Heat map: fewer than two parameters vary.", "Fewer than two parameters vary: there is no heat map.");
    const names = [this.x, this.y], metric = model.field(model.metric);
    this.steps = names.map((name) => new Steps(model.field(name), model.data.trials[name]));
    const cells = this.cells();
    const means = [...cells.values()].map((cell) => cell.mean).filter((mean) => mean !== null);
    const scale = new Scale(metric, means);
    const [columns, rows] = this.steps;
    this.grid = { left: 16 + 7 * Math.max(...rows.texts.map((text) => Math.min(text.length, 14)), 3) + 22, right: 16, top: 14, bottom: 48 };
    const size = Math.min((this.chart.getWidth() - this.grid.left - 16) / columns.texts.length, 3 * (this.chart.getHeight() - 62) / rows.texts.length);
    const series = [{ id: "cells", type: "custom", data: [...cells.values()].map((cell) => [cell.x, cell.y]),
      renderItem: (params, api) => cellShape(api, [...cells.values()][params.dataIndex], { scale, theme, isText: size > 34 }) }];
    const axis = (steps, name, more) => ({ type: "category", data: steps.texts, name: model.field(name).label, nameLocation: "middle", nameGap: 30,
      nameTextStyle: { color: theme.quiet, fontSize: 12 }, axisLine: { lineStyle: { color: theme.line } }, axisTick: { show: false }, splitLine: { show: false },
      axisLabel: { color: theme.quiet, fontSize: 11, hideOverlap: true, formatter: (text) => shortened(text, 14) }, ...more });
    this.chart.setOption({ animation: false, grid: this.grid, series, xAxis: axis(columns, this.x), yAxis: axis(rows, this.y, { nameGap: this.grid.left - 22 }),
      tooltip: { ...this.tooltip(theme), formatter: (event) => this.cellCard([...cells.values()][event.dataIndex]) } }, { notMerge: true });
    this.markArea(model.constraints.get("heat")?.area);
    const binned = this.steps.filter((steps) => steps.isBinned).map((steps) => steps.field.label);
    this.describe(`Heat map: mean ${metric.label} for each ${model.field(this.x).label} and ${model.field(this.y).label}. The table has the trials of each cell.`,
      `Mean ${metric.label}${model.isSelecting ? " of the selected trials" : ""}; click a cell or drag over several to select.${binned.length ? ` Values of ${binned.join(" and ")} are in ${NUM_BINS} bins.` : ""}`);
  }

  cells() {
    const { model } = this, [columns, rows] = this.steps, cells = new Map(), isSelected = new Set(model.selected);
    for (const index of model.indices) {
      const x = columns.step(model.value(this.x, index)), y = rows.step(model.value(this.y, index));
      if (x === null || y === null) continue;
      const name = `${x} ${y}`;
      if (!cells.has(name)) cells.set(name, { x, y, values: [], count: 0, lost: 0, isSelected: false });
      const cell = cells.get(name), value = model.value(model.metric, index);
      if (model.isSelecting && !isSelected.has(index)) continue;
      cell.isSelected = true;
      cell.count += 1;
      if (value === null) cell.lost += 1;
      else cell.values.push(value);
    }
    for (const cell of cells.values()) cell.mean = cell.values.length ? cell.values.reduce((sum, value) => sum + value, 0) / cell.values.length : null;
    return cells;
  }

  cellCard(cell) {
    const { model } = this, field = model.field(model.metric);
    const range = cell.values.length > 1 ? `${numberText(Math.min(...cell.values))} to ${numberText(Math.max(...cell.values))}` : null;
    const rows = [[model.field(this.x).label, this.steps[0].texts[cell.x]], [model.field(this.y).label, this.steps[1].texts[cell.y]],
      [`mean ${field.label}`, numberText(cell.mean)], ["range", range], ["trials", String(cell.count)], ["without a value", cell.lost ? String(cell.lost) : null]];
    return make("div", { class: "hover" }, make("table", {}, ...rows.filter(([, text]) => text !== null).map(([name, text]) => make("tr", {}, make("th", {}, name), make("td", {}, text)))));
  }
}

// The steps of an axis of the heat map: the values themselves or, where there are many, bins of them.
class Steps {
  constructor(field, values) {
    this.field = field;
    const scale = this.scale = new Scale(field, values);
    const places = scale.places;
    this.isBinned = field.kind === "number" && places.length > MOST_STEPS;
    if (!this.isBinned) {
      this.texts = field.kind === "word" ? places.map((place) => field.values[place]) : places.map((place) => numberText(scale.isLog ? 10 ** place : place, 4));
      return;
    }
    this.low = places[0];
    this.width = (places.at(-1) - places[0]) / NUM_BINS;
    const end = (number) => numberText(scale.isLog ? 10 ** (this.low + number * this.width) : this.low + number * this.width, 2);
    this.texts = Array.from({ length: NUM_BINS }, (_, number) => `${end(number)}–${end(number + 1)}`);
  }

  step(value) {
    const place = this.scale.inner(value);
    if (place === null) return null;
    return this.isBinned ? Math.min(Math.floor((place - this.low) / this.width), NUM_BINS - 1) : this.scale.places.indexOf(place);
  }
}

function cellShape(api, cell, { scale, theme, isText }) {
  const [x, y] = api.coord([cell.x, cell.y]), [width, height] = api.size([1, 1]);
  const fraction = cell.mean === null ? null : scale.fraction(cell.mean);
  const fill = fraction === null ? theme.box : rampColor(theme.ramp, fraction);
  const text = !cell.isSelected ? "" : cell.mean === null ? SYMBOLS.diverged[1] : numberText(cell.mean, 3) + (cell.lost ? SYMBOLS.diverged[1] : "");
  const isDarkCell = fraction !== null && (theme.isDark ? fraction < 0.35 : fraction < 0.62);
  return { type: "rect", shape: { x: x - width / 2 + 1, y: y - height / 2 + 1, width: width - 2, height: height - 2, r: 2 },
    style: { fill: cell.isSelected ? fill : theme.box, stroke: cell.mean === null ? theme.line : "none", lineWidth: 1 },
    textContent: isText ? { style: { text, fill: fraction === null ? theme.quiet : isDarkCell ? "#fff" : "#111", fontSize: 11 } } : undefined,
    textConfig: { position: "inside" }, emphasis: { style: { stroke: theme.text, lineWidth: 2 } } };
}
