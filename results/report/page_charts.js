"use strict";
// The charts with two axes: each draws the model, and turns a drag or a click into a constraint of the selection.

const MOST_CURVES = 100, BEST_CURVES = 20, MOST_STEPS = 12, NUM_BINS = 8;

class Scatter extends PlaneView {
  constructor(page) {
    super(page, { name: "scatter", title: "Scatter plot" });
    this.picked = {};
    this.lists = ["x", "y"].map((axis) => {
      const [label, list] = select(axis, [], "", (name) => this.choices({ [axis]: name }));
      this.controls.append(label);
      return list;
    });
  }

  choices(changed) {
    Object.assign(this, changed);
    Object.assign(this.picked, changed);
    this.setZoom(null);
  }

  // The fields that can be drawn against the metric.
  get others() {
    return this.model.fields.filter(({ name }) => name !== "status" && name !== this.model.metric);
  }

  get isBare() {
    return !this.others.length;
  }

  // Takes the new metric in place of the old one.
  follow() {
    if (this.y !== this.followed) return;
    delete this.picked.y;
    this.y = this.followed = this.model.metric;
    this.forget();
  }

  defaults() {
    const { model, picked, isInUse } = this, before = [this.x, this.y];
    if (!model.field(this.x) || !(picked.x || isInUse)) this.x = model.axes[0] ?? this.others.at(-1).name;
    if (!model.field(this.y) || !(picked.y || isInUse)) this.y = this.followed = model.metric;
    if (String(before) !== String([this.x, this.y])) this.forget();
    setOptions(this.lists[0], model.fields, this.x);
    setOptions(this.lists[1], model.fields, this.y);
  }

  scales() {
    return [this.model.scale(this.x), this.model.scale(this.y)];
  }

  choose({ x, y }) {
    const names = [this.x, this.y], { model } = this;
    const place = (axis, index) => model.scale(names[axis]).place(model.value(names[axis], index));
    const text = ([low, high], axis) => rangeText(model.scale(names[axis]), low, high);
    this.page.constrain("scatter", {
      label: `scatter plot: ${text(x, 0)}, ${text(y, 1)}`, area: { x, y }, names,
      test: (index) => between(x, place(0, index)) && between(y, place(1, index)),
    });
  }

  draw(isWhole) {
    const { model } = this;
    if (isWhole) {
      this.defaults();
      this.drawAxes(this.page.theme);
    }
    this.paint();
    this.markArea([this.x, this.y]);
    const [x, y] = this.scales(), lost = [x, y].some((scale) => scale.edge !== null) ? model.allVisible.filter((index) => [this.x, this.y].some((name) => model.value(name, index) === null)).length : 0;
    this.describe(`Scatter plot of ${y.field.label} against ${x.field.label}, ${counted(model.selected.length, "trial")} in colour by ${model.field(model.color).label}. The table below has the same values.`,
      [lost ? `${lost} of ${model.keys.length} trials ${lost === 1 ? "has no value: it is" : "have no value: they are"} at the edge, at “none”.` : "", apartNote(model)].filter(Boolean).join(" "));
  }

  // Returns a function from a trial to the pixels of its point.
  spots() {
    const { model } = this, [x, y] = this.scales(), at = this.pixels(), [xs, ys] = [this.x, this.y].map((name) => model.data.trials[name]);
    return (index) => at(x.place(xs[index]), y.place(ys[index]));
  }

  paint() {
    const { model } = this, { theme } = this.page, context = this.cleared(), spot = this.spots(), size = model.keys.length > 800 ? 3 : 4.5;
    context.save();
    this.clip(context);
    this.drawEdges(context, theme);
    if (model.isSelecting) {
      Object.assign(context, { globalAlpha: 0.5 });
      for (const index of model.allVisible) drawSymbol(context, model.status(index), spot(index), size - 1, theme.faint);
    }
    context.globalAlpha = 0.9;
    for (const index of model.visible) drawSymbol(context, model.status(index), spot(index), size, model.colorOf(index, theme));
    for (const index of this.marked) {
      Object.assign(context, { strokeStyle: theme.text, lineWidth: 2, globalAlpha: 1 });
      context.beginPath();
      context.arc(...spot(index), size + 4, 0, 2 * Math.PI);
      context.stroke();
    }
    context.restore();
  }

  // Draws the lines at which the trials without a value are.
  drawEdges(context, theme) {
    const [x, y] = this.scales(), at = this.pixels(), { left, top } = this.grid, [width, height] = this.size;
    context.setLineDash([4, 4]);
    if (y.edge !== null) strokeLine(context, [[left, at(0, y.edge)[1]], [left + width, at(0, y.edge)[1]]], theme.quiet, 1, 0.6);
    if (x.edge !== null) strokeLine(context, [[at(x.edge, 0)[0], top], [at(x.edge, 0)[0], top + height]], theme.quiet, 1, 0.6);
    context.setLineDash([]);
  }

  nearest(at) {
    const spot = this.spots();
    let best = null, least = 9;
    for (const index of this.isInside(at) ? this.model.visible : []) {
      const [x, y] = spot(index), distance = Math.hypot(x - at[0], y - at[1]);
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }
}

function apartNote(model) {
  const number = model.indices.length - model.allVisible.length;
  return number ? `Without ${number} ${number === 1 ? "trial that confirms" : "trials that confirm"} the choice, trained on all images: the test error has them.` : "";
}

class Curves extends PlaneView {
  constructor(page) {
    super(page, { name: "curves", title: "Learning curves" });
    const [label, list] = select("metric", [], "", (name) => {
      this.metric = this.picked = name;
      this.setZoom(null);
    });
    this.list = list;
    this.controls.append(label);
  }

  // Takes the new metric if there are curves of it.
  follow() {
    const found = this.model.data.curves.metrics.find(({ name }) => this.model.metric.endsWith(name));
    if (!found || found.name === this.metric) return;
    this.metric = this.picked = found.name;
    this.forget();
  }

  // The scales of the epochs and of the metric, over all trials.
  scales() {
    const { curves } = this.model.data, known = (values, isLog) => values.flat().filter((value) => (isLog ? value > 0 : value !== null));
    const scale = (name, field, values) => this.model.cached(`curve ${name}`, () => new Scale({ kind: "number", role: "result", ...field }, known(values, field.log)));
    return [scale("epoch", { label: "epoch", log: false, isWhole: true }, curves.epochs),
      scale(this.metric, curves.metrics.find(({ name }) => name === this.metric), curves[this.metric])];
  }

  choose({ x, y }) {
    const { model } = this, name = this.metric, scale = this.scales()[1], [from, to] = [Math.ceil(x[0]), Math.floor(x[1])];
    const epochs = from > to ? "no epoch" : from === to ? `epoch ${from}` : `epochs ${from} to ${to}`;
    this.page.constrain("curves", {
      label: `learning curves: ${rangeText(scale, ...y)} in ${epochs}`, area: { x, y }, names: [name],
      test: (index) => model.data.curves.epochs[index].some((epoch, at) => between(x, epoch) && between(y, scale.inner(model.data.curves[name][index][at]))),
    });
  }

  draw(isWhole) {
    const { model } = this, { metrics, epochs, rule } = model.data.curves;
    this.drawn = [];
    this.card.classList.toggle("empty", !metrics.length);
    if (!metrics.length) return this.describe("Learning curves: no epoch is recorded yet.", "No epoch is recorded yet.");
    if (isWhole) {
      const kept = metrics.find(({ name }) => name === this.metric);
      if (!kept || !(this.picked || this.isInUse)) this.metric = (metrics.find(({ name }) => model.metric.endsWith(name)) ?? kept ?? metrics[0]).name;
      setOptions(this.list, metrics, this.metric);
      this.drawAxes(this.page.theme);
    }
    const known = model.visible.filter((index) => epochs[index].length), wanted = new Set(known);
    const chosen = model.isSelecting ? model.some(known, MOST_CURVES) : model.ranked.filter((index) => wanted.has(index)).slice(0, BEST_CURVES);
    this.drawn = [...new Set([...chosen, ...model.highlighted.filter((index) => epochs[index].length)])];
    this.paint();
    this.markArea([this.metric]);
    const which = model.isSelecting ? (chosen.length < known.length ? `${chosen.length} of the ${known.length} selected trials: half of them the ${model.foremost}, the others evenly by rank.` : `${counted(chosen.length, "selected trial")}.`)
      : chosen.length < known.length ? `The ${model.foremost} ${chosen.length} of ${known.length} trials; select to see others.` : "";
    return this.describe(`Learning curves: ${this.scales()[1].field.label} by epoch of ${counted(this.drawn.length, "trial")}.`, `${which} ${rule}`.trim());
  }

  // The pixels of a trial's curve, without what is not finite.
  points(index, at) {
    const { curves } = this.model.data, scale = this.scales()[1], points = [];
    curves.epochs[index].forEach((epoch, position) => {
      const place = scale.inner(curves[this.metric][index][position]);
      if (place !== null) points.push(at(epoch, place));
    });
    return points;
  }

  paint() {
    const { model } = this, { theme } = this.page, context = this.cleared(), at = this.metric ? this.pixels() : null, isMarked = new Set(this.marked);
    context.save();
    this.clip(context);
    for (const index of [...this.drawn.filter((other) => !isMarked.has(other)), ...this.drawn.filter((other) => isMarked.has(other))]) {
      const color = isMarked.has(index) ? theme.text : model.colorOf(index, theme), points = this.points(index, at), status = model.status(index);
      strokeLine(context, points, color, isMarked.has(index) ? 3 : 1.6, isMarked.has(index) ? 1 : 0.85);
      if (points.length && (points.length === 1 || status !== "complete")) drawSymbol(context, status, points.at(-1), 3, color);
    }
    context.restore();
  }

  nearest(at) {
    if (!this.drawn?.length || !this.isInside(at)) return null;
    const pixels = this.pixels();
    return nearestLine(this.drawn.map((index) => [index, this.points(index, pixels)]), at, 0);
  }
}

class HeatMap extends PlaneView {
  makeButtons() {
    return null;
  }

  get isBare() {
    return this.model.parameters.length < 2;
  }

  constructor(page) {
    super(page, { name: "heat", title: "Heat map" });
    this.picked = {};
    this.lists = ["x", "y"].map((axis) => {
      const [label, list] = select(axis, [], "", (name) => {
        this[axis] = this.picked[axis] = name;
        this.draw(true);
      });
      this.controls.append(label);
      return list;
    });
  }

  defaults() {
    const names = this.model.parameters.map((field) => field.name), { picked, isInUse } = this;
    if (!names.includes(this.x) || !(picked.x || isInUse)) this.x = this.model.axes[0];
    if (!names.includes(this.y) || this.y === this.x || !(picked.y || isInUse)) this.y = [this.model.axes[1], ...names].find((name) => name && name !== this.x);
    setOptions(this.lists[0], this.model.parameters, this.x);
    setOptions(this.lists[1], this.model.parameters, this.y);
  }

  start() {
    super.start();
    this.plot.addEventListener("click", (event) => {
      const box = this.plot.getBoundingClientRect(), point = [event.clientX - box.left, event.clientY - box.top];
      if (!this.steps || this.wasDrag || !this.isInside(point)) return;
      const [x, y] = this.places(point).map(Math.round), area = { x: [x - 0.5, x + 0.5], y: [y - 0.5, y + 0.5] };
      const { area: before, names } = this.model.constraints.get("heat") ?? {};
      if (JSON.stringify([before, names]) === JSON.stringify([area, [this.x, this.y]])) this.page.release("heat");
      else this.choose(area);
    });
  }

  get range() {
    const [x, y] = this.steps.map((steps) => [-0.5, steps.texts.length - 0.5]);
    return { x, y };
  }

  paint() {}

  nearest() {
    return null;
  }

  choose({ x, y }) {
    const whole = ([low, high]) => [Math.ceil(low - 0.5 + 1e-6) - 0.5, Math.floor(high + 0.5 - 1e-6) + 0.5];
    const area = { x: whole(x), y: whole(y) }, [columns, rows] = this.steps, names = [this.x, this.y], { model } = this;
    const text = (steps, range) => steps.texts.filter((_, step) => between(range, step)).join(", ");
    this.page.constrain("heat", {
      label: `heat map: ${model.field(names[0]).label} ${text(columns, area.x)}; ${model.field(names[1]).label} ${text(rows, area.y)}`, area, names,
      test: (index) => between(area.x, columns.step(model.value(names[0], index))) && between(area.y, rows.step(model.value(names[1], index))),
    });
  }

  draw(isWhole) {
    const { model } = this, theme = this.page.theme;
    this.defaults();
    const names = [this.x, this.y], metric = model.field(model.metric);
    this.steps = names.map((name) => new Steps(model.field(name), model.data.trials[name]));
    const cells = this.cells();
    const means = [...cells.values()].map((cell) => cell.mean).filter((mean) => mean !== null);
    const scale = new Scale(metric, means);
    const [columns, rows] = this.steps;
    const longest = (steps) => Math.max(...steps.texts.map((text) => Math.min(text.length, 14)), 3), left = 38 + 7 * longest(rows);
    this.grid = { ...this.grid, left, right: Math.max(16, (6 * longest(columns) - (this.chart.getWidth() - left) / columns.texts.length) / 2 + 4) };
    const size = Math.min((this.chart.getWidth() - left - this.grid.right) / columns.texts.length, 3 * (this.chart.getHeight() - 62) / rows.texts.length), isText = size > 34;
    const series = [{ id: "cells", type: "custom", data: [...cells.values()].map((cell) => [cell.x, cell.y]),
      renderItem: (params, api) => cellShape(api, [...cells.values()][params.dataIndex], { scale, theme, isText }) }];
    const axis = (steps, name, more) => ({ type: "category", data: steps.texts, name: model.field(name).label, nameLocation: "middle", nameGap: 30,
      nameTextStyle: { color: theme.quiet, fontSize: 12 }, axisLine: { lineStyle: { color: theme.line } }, axisTick: { show: false }, splitLine: { show: false },
      axisLabel: { color: theme.quiet, fontSize: 11, hideOverlap: true, formatter: (text) => shortened(text, 14) },
      tooltip: { show: steps.texts.some((text) => text.length > 14), formatter: ({ value }) => make("span", {}, value) }, ...more });
    this.chart.setOption({ animation: false, grid: this.grid, series, xAxis: axis(columns, this.x), yAxis: axis(rows, this.y, { nameGap: this.grid.left - 22 }),
      tooltip: tooltipOptions(theme, { formatter: (event) => this.cellCard([...cells.values()][event.dataIndex]) }) }, { notMerge: true });
    this.markArea(names);
    const lost = isText ? [...new Set([...cells.values()].flatMap((cell) => [...cell.lost.keys()]))].map((status) => `${lostSymbol(status)} ${lostWord(status)}`) : [];
    const binned = this.steps.filter((steps) => steps.isBinned).map((steps) => steps.field.label);
    this.describe(`Heat map: mean ${metric.label} for each ${model.field(this.x).label} and ${model.field(this.y).label}. The table has the trials of each cell.`,
      `Mean ${metric.label}${model.isSelecting ? " of the selected trials" : ""}; click a cell or drag over several to select.${binned.length ? ` Values of ${binned.join(" and ")} are in ${NUM_BINS} bins.` : ""}${lost.length ? ` A symbol in a cell: a trial in it has no value (${lost.join(", ")}).` : ""}`);
  }

  cells() {
    const { model } = this, [columns, rows] = this.steps, cells = new Map(), isSelected = new Set(model.selected);
    for (const index of model.allVisible) {
      const x = columns.step(model.value(this.x, index)), y = rows.step(model.value(this.y, index));
      if (x === null || y === null) continue;
      const name = `${x} ${y}`;
      if (!cells.has(name)) cells.set(name, { x, y, values: [], count: 0, lost: new Map(), isSelected: false });
      const cell = cells.get(name), value = model.value(model.metric, index);
      if (model.isSelecting && !isSelected.has(index)) continue;
      cell.isSelected = true;
      cell.count += 1;
      if (value === null) cell.lost.set(model.status(index), (cell.lost.get(model.status(index)) ?? 0) + 1);
      else cell.values.push(value);
    }
    for (const cell of cells.values()) {
      cell.mean = cell.values.length ? cell.values.reduce((sum, value) => sum + value, 0) / cell.values.length : null;
      cell.text = [cell.mean === null ? "" : numberText(cell.mean, 3), [...cell.lost.keys()].map(lostSymbol).join("")].filter(Boolean).join(" ");
    }
    return cells;
  }

  cellCard(cell) {
    const { model } = this, field = model.field(model.metric);
    const range = cell.values.length > 1 ? `${numberText(Math.min(...cell.values))} to ${numberText(Math.max(...cell.values))}` : null;
    const rows = [[model.field(this.x).label, this.steps[0].texts[cell.x]], [model.field(this.y).label, this.steps[1].texts[cell.y]],
      [`mean ${field.label}`, numberText(cell.mean)], ["range", range], ["trials", String(cell.count)], ["without a value", [...cell.lost].map(([status, count]) => `${count} ${lostSymbol(status)} ${lostWord(status)}`).join(", ") || null]];
    return make("div", { class: "hover" }, make("table", {}, ...rows.filter(([, text]) => text !== null).map(([name, text]) => make("tr", {}, make("th", {}, name), make("td", {}, text)))));
  }
}

// The steps of an axis of the heat map: the values themselves or, where there are many, bins of them.
class Steps {
  constructor(field, values) {
    this.field = field;
    const scale = this.scale = new Scale(field, values);
    const places = scale.places;
    this.isBinned = scale.isMany || (field.kind === "number" && places.length > MOST_STEPS);
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

// What stands in a cell for a trial of this status without a value.
const lostSymbol = (status) => (status === "complete" ? NONE : SYMBOLS[status]), lostWord = (status) => (status === "complete" ? "none recorded" : status);

function cellShape(api, cell, { scale, theme, isText }) {
  const [x, y] = api.coord([cell.x, cell.y]), [width, height] = api.size([1, 1]);
  const size = cell.mean === null ? null : scale.fraction(cell.mean), fraction = size !== null && scale.field.better === "more" ? 1 - size : size;
  const fill = fraction === null ? theme.box : rampColor(fraction, HEAT_RAMP);
  return { type: "rect", shape: { x: x - width / 2 + 1, y: y - height / 2 + 1, width: width - 2, height: height - 2, r: 2 },
    style: { fill: cell.isSelected ? fill : theme.box, stroke: theme.line, lineWidth: 1 },
    textContent: isText ? { style: { text: cell.text, fill: fraction === null ? theme.quiet : fraction > 0.4 ? "#fff" : "#111", fontSize: 11 } } : undefined,
    textConfig: { position: "inside" }, emphasis: { style: { stroke: theme.text, lineWidth: 2 } } };
}
