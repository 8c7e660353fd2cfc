"use strict";
// What all charts share: a card with controls, axes that the library draws, marks on a canvas below them, and drags.

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

function between([low, high], place) {
  return place !== null && place >= low && place <= high;
}

function nearest(places, place) {
  return places.reduce((best, other) => (Math.abs(other - place) < Math.abs(best - place) ? other : best), places[0] ?? place);
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// What a range of an axis is called where it selects.
function rangeText(scale, low, high) {
  const isNone = scale.edge !== null && between([low, high], scale.edge), inside = scale.places.filter((place) => between([low, high], place));
  const end = (place) => numberText(scale.isLog ? 10 ** place : place, 3);
  const range = scale.field.kind === "word" ? inside.map((place) => scale.text(place)) : isNone && low > (scale.places.at(-1) ?? -Infinity) ? []
    : [`${end(low)} to ${end(Math.min(high, isNone ? scale.places.at(-1) : scale.high))}`];
  return `${scale.field.label} ${[...range, ...(isNone || !range.length ? ["none"] : [])].join(" or ")}`;
}

// The places and texts of the ticks of an axis; words are left out and shortened as an axis of this length has room for them.
function ticksOf(scale, zoomed, most = 7, length = Infinity) {
  const [low, high] = zoomed ?? [scale.low, scale.high], all = scale.ticks(low, high, most), isWord = scale.field.kind === "word";
  const step = isWord ? Math.max(1, Math.ceil((40 * all.length) / length)) : 1, places = all.filter((place, index) => index % step === 0 || place === scale.edge);
  const room = isWord ? Math.max(4, Math.min(14, Math.floor(((length * step) / all.length - 8) / 6.5))) : 14;
  const texts = places.map((place) => shortened(scale.text(place), room));
  return { low, high, places, texts, widths: texts.map((text) => echarts.format.getTextRect(text, "11px sans-serif").width) };
}

function tooltipOptions(theme, more) {
  return { confine: true, transitionDuration: 0, backgroundColor: theme.box, borderColor: theme.line, textStyle: { color: theme.text, fontSize: 12 },
    extraCssText: "max-width: 90%; white-space: normal; overflow-wrap: anywhere", ...more };
}

// The options of an axis; its ticks are ours. A label that is shortened is told in full under the pointer.
function axisOptions(scale, theme, zoomed, more = {}) {
  const { low, high, places: ticks, texts } = ticksOf(scale, zoomed, more.most, more.length);
  return { type: "value", min: low, max: high, name: scale.field.label, nameLocation: "middle", nameGap: 30,
    nameTextStyle: { color: theme.quiet, fontSize: 12 }, axisLine: { show: true, onZero: false, lineStyle: { color: theme.line } },
    axisTick: { show: true, customValues: ticks, lineStyle: { color: theme.line } },
    axisLabel: { customValues: ticks, color: theme.quiet, fontSize: 11, hideOverlap: true, textBorderColor: theme.page, textBorderWidth: 3,
      formatter: (place) => texts[ticks.indexOf(nearest(ticks, place))] },
    tooltip: { show: texts.some((text) => text.endsWith("…")), formatter: ({ tickIndex }) => make("span", {}, scale.text(ticks[tickIndex])) },
    splitLine: { lineStyle: { color: theme.line, opacity: 0.6 } }, ...more };
}

// What is told of a trial under the pointer.
function trialCard(model, index) {
  const rows = [...model.parameters, ...new Set([model.field(model.metric), ...model.results.slice(0, 3)])];
  return make("div", { class: "hover" }, make("strong", {}, `trial ${model.keys[index].slice(0, 8)}`), ` ${SYMBOLS[model.status(index)] ?? ""} ${model.status(index)}`,
    make("table", {}, ...rows.map((field) => make("tr", {}, make("th", {}, field.label), make("td", {}, textOf(field, model.value(field.name, index)))))));
}

// The line, of some given as [trial, points], that passes within some pixels of a point; `main` is the axis along which lines run.
function nearestLine(lines, at, main) {
  const cross = 1 - main;
  let best = null, least = 6;
  for (const [index, points] of lines) {
    const after = points.findIndex((point) => point[main] >= at[main]);
    if (after < 1) continue;
    const [one, other] = [points[after - 1], points[after]], slope = (other[cross] - one[cross]) / (other[main] - one[main]);
    const distance = Math.abs(one[cross] + slope * (at[main] - one[main]) - at[cross]) / Math.hypot(1, slope);
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}

// A card with a title, controls and a chart, which is drawn again when its size changes.
class View {
  constructor(page, { name, title }) {
    Object.assign(this, { page, model: page.model, name, title, hovered: null });
    this.controls = make("div", { class: "controls" });
    this.buttons = this.makeButtons();
    this.plot = make("div", { class: "plot", role: "img" });
    this.note = make("p", { class: "note" });
    this.canvas = make("canvas", { class: "marks" });
    this.tip = make("div", { class: "tip", hidden: true });
    this.card = make("section", { class: `view ${name}`, "aria-label": title },
      make("header", {}, make("h3", {}, title), this.buttons), this.controls, this.plot, this.note);
  }

  makeButtons() {
    return null;
  }

  // Whether there is nothing to show, and the page leaves the view out.
  get isBare() {
    return false;
  }

  start() {
    this.chart = echarts.init(this.plot, null, { renderer: "canvas" });
    this.plot.prepend(this.canvas);
    this.plot.append(this.tip);
    this.plot.addEventListener("pointermove", (event) => this.hover(event.buttons ? null : event));
    this.plot.addEventListener("pointerleave", () => this.hover(null));
    this.plot.addEventListener("click", () => this.hovered !== null && !this.wasDrag && this.page.open(this.model.keys[this.hovered]));
    new ResizeObserver(() => {
      if (this.chart.getWidth() === this.plot.clientWidth && this.chart.getHeight() === this.plot.clientHeight) return;
      this.chart.resize();
      if (this.model.keys.length && !this.isBare) this.draw(true);
    }).observe(this.plot);
  }

  describe(text, note = "") {
    this.plot.setAttribute("aria-label", text);
    this.note.textContent = note;
    this.note.hidden = !note;
  }

  // Returns the canvas, empty and in the units of the page.
  cleared() {
    const context = this.canvas.getContext("2d"), ratio = devicePixelRatio || 1, [width, height] = [this.chart.getWidth(), this.chart.getHeight()];
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  // The trials to mark: pinned, open, and the one under the pointer.
  get marked() {
    return this.hovered === null || this.model.highlighted.includes(this.hovered) ? this.model.highlighted : [...this.model.highlighted, this.hovered];
  }

  hover(event) {
    const box = this.plot.getBoundingClientRect(), at = event && [event.clientX - box.left, event.clientY - box.top];
    const found = at ? this.nearest(at) : null;
    if (found !== this.hovered) {
      this.hovered = found;
      if (found !== null) this.tip.replaceChildren(trialCard(this.model, found));
      this.paint();
    }
    this.plot.style.cursor = found === null ? "" : "pointer";
    this.tip.hidden = found === null;
    if (found === null) return;
    const left = at[0] + 14 + this.tip.offsetWidth > box.width ? Math.max(at[0] - 14 - this.tip.offsetWidth, 0) : at[0] + 14;
    Object.assign(this.tip.style, { left: `${left}px`, top: `${Math.max(Math.min(at[1] + 10, box.height - this.tip.offsetHeight), 0)}px` });
  }
}

function strokeLine(context, points, color, lineWidth, alpha) {
  Object.assign(context, { strokeStyle: color, lineWidth, globalAlpha: alpha, lineJoin: "round" });
  context.beginPath();
  for (const point of points) context.lineTo(point[0], point[1]);
  context.stroke();
}

// Draws the symbol of a status.
function drawSymbol(context, status, [x, y], size, color) {
  Object.assign(context, { fillStyle: color, strokeStyle: color, lineWidth: 2 });
  context.beginPath();
  if (status === "stopped") {
    for (const [dx, dy] of [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]) context.lineTo(x + dx * size, y + dy * size);
  } else if (status === "diverged") {
    for (const [dx, dy] of [[0, -1.2], [1.15, 0.9], [-1.15, 0.9]]) context.lineTo(x + dx * size, y + dy * size);
  } else if (status === "failed") {
    for (const [dx, dy] of [[1, 1], [1, -1]]) {
      context.moveTo(x - dx * size, y - dy * size);
      context.lineTo(x + dx * size, y + dy * size);
    }
    return context.stroke();
  } else if (status === "interrupted") context.rect(x - size, y - size, 2 * size, 2 * size);
  else context.arc(x, y, size, 0, 2 * Math.PI);
  context.closePath();
  return ["running", "interrupted", "unfinished"].includes(status) ? context.stroke() : context.fill();
}

// A chart with two axes: a drag selects a rectangle, or zooms into it.
class PlaneView extends View {
  constructor(page, words) {
    super(page, words);
    this.zoom = null;
    this.grid = { left: 62, right: 16, top: 14, bottom: 48, outerBoundsMode: "none" };  // the marks rely on it: the library must not shrink it
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

  // Whether the reader has zoomed or selected on these axes, which then stay when new data would begin with others.
  get isInUse() {
    return this.zoom !== null || this.model.constraints.has(this.name);
  }

  // Drops the zoom, which is of other axes.
  forget() {
    this.zoom = null;
    this.reset.hidden = true;
  }

  start() {
    super.start();
    this.plot.append(this.canvas, this.area, this.tip);  // marks above the lines of the grid
    this.plot.addEventListener("pointerdown", (event) => this.press(event));
  }

  press(event) {
    const box = this.plot.getBoundingClientRect(), at = (other) => [other.clientX - box.left, other.clientY - box.top];
    const from = at(event);
    if (event.button || !this.isInside(from)) return;
    let isDrag = false;
    this.wasDrag = false;
    const move = (next) => {
      const to = at(next);
      isDrag ||= Math.hypot(to[0] - from[0], to[1] - from[1]) > 5;
      if (isDrag) this.showArea(from, to);
    };
    const end = (next) => {
      for (const [name, act] of listeners) window.removeEventListener(name, act);
      if (!isDrag) return;
      this.wasDrag = true;  // so that the click that follows opens nothing
      this.area.hidden = true;
      if (next.type === "pointerup") this.take(this.rectangle(from, at(next)));
    };
    const listeners = [["pointermove", move], ["pointerup", end], ["pointercancel", end]];
    for (const [name, act] of listeners) window.addEventListener(name, act);
  }

  // The lowest and highest place on both axes that are shown.
  get range() {
    const [x, y] = this.scales();
    return { x: this.zoom?.x ?? [x.low, x.high], y: this.zoom?.y ?? [y.low, y.high] };
  }

  get size() {
    const { left, right, top, bottom } = this.grid;
    return [this.chart.getWidth() - left - right, this.chart.getHeight() - top - bottom];
  }

  isInside([x, y]) {
    const { left, top } = this.grid, [width, height] = this.size;
    return x >= left && x <= left + width && y >= top && y <= top + height;
  }

  // Returns a function from places on both axes to pixels.
  pixels() {
    const { x, y } = this.range, { left, top } = this.grid, [width, height] = this.size;
    return (across, up) => [left + ((across - x[0]) / (x[1] - x[0])) * width, top + ((y[1] - up) / (y[1] - y[0])) * height];
  }

  // The places on both axes of a point in pixels.
  places([across, down]) {
    const { x, y } = this.range, { left, top } = this.grid, [width, height] = this.size;
    return [x[0] + ((across - left) / width) * (x[1] - x[0]), y[1] - ((down - top) / height) * (y[1] - y[0])];
  }

  // The places on both axes between two corners in pixels.
  rectangle(from, to) {
    const ends = [from, to].map((point) => this.places(point));
    const sorted = (axis) => [Math.min(ends[0][axis], ends[1][axis]), Math.max(ends[0][axis], ends[1][axis])];
    return { x: sorted(0), y: sorted(1) };
  }

  // Lets nothing be drawn outside the axes.
  clip(context) {
    const { left, top } = this.grid, [width, height] = this.size;
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
  }

  // Draws the axes, with as much room for the labels beside them as these take.
  drawAxes(theme) {
    const [x, y] = this.scales(), width = this.chart.getWidth(), most = width / 90;
    const left = Math.max(62, Math.ceil(Math.max(0, ...ticksOf(y, this.zoom?.y).widths)) + 36), length = width - left - 20, across = ticksOf(x, this.zoom?.x, most, length);
    const beyond = across.places.map((place, index) => [(across.high - place) / (across.high - across.low), across.widths[index] / 2 + 4])
      .map(([share, half]) => (share < 1 ? (half - share * (width - left)) / (1 - share) : 0));
    Object.assign(this.grid, { left, right: Math.max(16, ...beyond) });
    this.chart.setOption({ animation: false, grid: this.grid, tooltip: tooltipOptions(theme), xAxis: axisOptions(x, theme, this.zoom?.x, { most, length }),
      yAxis: axisOptions(y, theme, this.zoom?.y, { nameGap: left - 16 }) }, { notMerge: true });
  }

  take(rectangle) {
    if (!this.isZoom) return this.choose(rectangle);
    const { x, y } = this.range, within = (range, [low, high]) => [Math.max(range[0], low), Math.min(range[1], high)];
    return this.setZoom({ x: within(rectangle.x, x), y: within(rectangle.y, y) });
  }

  showArea(from, to) {
    const [left, top] = [0, 1].map((axis) => Math.min(from[axis], to[axis]));
    const [width, height] = [0, 1].map((axis) => Math.abs(from[axis] - to[axis]));
    Object.assign(this.area.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    this.area.hidden = false;
  }

  // Draws the rectangle that stays selected, if it is one of these axes.
  markArea(names) {
    const { area: chosen, names: axes } = this.model.constraints.get(this.name) ?? {};
    this.area.hidden = !chosen || String(axes) !== String(names);
    if (this.area.hidden) return;
    const { left, top } = this.grid, [width, height] = this.size, at = this.pixels();
    const clamp = ([x, y]) => [Math.min(Math.max(x, left), left + width), Math.min(Math.max(y, top), top + height)];
    const [from, to] = [0, 1].map((end) => clamp(at(chosen.x[end], chosen.y[end])));
    this.showArea(from, to);
  }
}
