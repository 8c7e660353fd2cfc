"use strict";
// The data of the page: trials by column, what is selected of them, and the scales and colours of their fields.

const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8a63d2", "#7f7f7f"];
const RAMP = ["#2f63b8", "#b0508f", "#d07c00"];  // of enough contrast on both themes
const HEAT_RAMP = ["#fee838", "#bbad6d", "#7c7b78", "#424e6c", "#00224e"];  // as in the static heat map: a high error is dark
const STATUSES = ["complete", "stopped", "diverged", "failed", "running", "interrupted", "unfinished"];
const SYMBOLS = { complete: "●", stopped: "◆", diverged: "▲", failed: "✖", running: "○", interrupted: "□", unfinished: "○" };
const NONE = "–";
const MOST_PLACES = 64;

// Makes an element; all texts become text nodes, never markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function numberText(value, digits = 5) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= 1e7)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

// The digits after the point, by the unit of a result; its numbers then stand below each other.
function decimalsOf(field) {
  if (field.role !== "result" || field.kind !== "number") return null;
  const found = [[/\(%\)$/, 2], [/\(s\)$/, 1], [/\(nats\)$/, 4], [/\(MB\)$|images\/s$/, 0]].find(([unit]) => unit.test(field.label));
  return found ? found[1] : null;
}

function textOf(field, value, digits = 4) {
  if (value === null || value === undefined) return NONE;
  if (field.kind !== "number") return value;
  const decimals = decimalsOf(field);
  return decimals === null ? numberText(value, digits) : value.toFixed(decimals);
}

// A value on an axis: logarithms of numbers, positions of words, and a place at the edge for what has no value.
class Scale {
  constructor(field, values) {
    this.field = field;
    this.isLog = field.kind === "number" && field.log;
    const places = new Set();
    let least = Infinity, largest = -Infinity, isLost = false;
    for (const value of values) {
      const place = this.inner(value);
      if (place === null) isLost = true;
      else {
        if (place < least) least = place;
        if (place > largest) largest = place;
        if (places.size <= MOST_PLACES || field.kind === "word") places.add(place);
      }
    }
    this.isMany = places.size > MOST_PLACES && field.kind === "number";
    this.places = this.isMany ? [least, largest] : [...places].sort((a, b) => a - b);  // the distinct ones, if they are few
    const low = this.places[0] ?? 0, high = this.places.at(-1) ?? 1;
    const span = high - low || (field.kind === "word" ? 1 : Math.abs(high) / 2 || 1);
    this.low = low - 0.05 * span;
    this.high = high + 0.05 * span;
    this.edge = isLost ? high + 0.14 * span : null;
    if (this.edge !== null) this.high = high + 0.2 * span;
  }

  inner(value) {
    if (value === null || value === undefined) return null;
    if (this.field.kind === "word") return Math.max(this.field.values.indexOf(value), 0);
    return !this.isLog ? value : value > 0 ? Math.log10(value) : null;
  }

  place(value) {
    return this.inner(value) ?? this.edge;
  }

  text(place) {
    if (place === this.edge) return "none";
    if (this.field.kind === "word") return this.field.values[Math.round(place)] ?? "";
    return numberText(this.isLog ? 10 ** place : place, 4);
  }

  // A fraction from 0 to 1 for a colour.
  fraction(value) {
    const place = this.inner(value), low = this.places[0], high = this.places.at(-1);
    return place === null ? null : high > low ? (place - low) / (high - low) : 0.5;
  }

  ticks(low = this.low, high = this.high, most = 7) {
    const seen = this.places.filter((place) => place >= low && place <= high);
    const gaps = seen.slice(1).map((place, index) => place - seen[index]);
    const isFew = !this.isMany && seen.length <= most + 2 && gaps.every((gap) => gap > 0.05 * (high - low));
    let found = seen;
    if (this.field.kind === "word") {
      const step = Math.ceil(seen.length / 16);
      found = seen.filter((_, index) => index % step === 0);
    } else if (!isFew || this.field.role === "result") {
      found = this.isLog ? logTicks(low, high, most) : linearTicks(low, high, most);
      if (this.isLog && found.length < 2) found = linearTicks(10 ** low, 10 ** high, most).map(Math.log10);
    }
    if (this.field.isWhole) found = found.filter((place) => Math.abs(place - Math.round(place)) < 1e-9);
    const top = this.edge === null ? Infinity : this.places.at(-1) ?? Infinity;
    found = found.filter((place) => place >= low && place <= Math.min(high, top + 1e-9));
    return this.edge !== null && this.edge >= low && this.edge <= high ? [...found, this.edge] : found;
  }
}

function linearTicks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((digit) => digit * power >= rough) ?? 10);
  const ticks = [];
  for (let number = Math.ceil(low / step); number * step <= high; number += 1) ticks.push(number * step);
  return ticks;
}

function logTicks(low, high, most) {
  const digits = high - low < 0.9 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : high - low < 3 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const digit of digits) ticks.push(power + Math.log10(digit));
  }
  const inside = ticks.filter((place) => place >= low && place <= high);
  const step = Math.ceil(inside.length / (most + 2));
  return inside.filter((_, index) => index % step === 0);
}

class Model {
  constructor() {
    this.constraints = new Map();  // name -> {label, test(index)}
    this.pinned = new Set();  // keys
    this.opened = null;  // key
    this.picked = {};  // `metric` and `color` as the reader chose them; else they follow the data
    this.load({ fields: [], trials: { key: [], status: [] }, curves: { metrics: [], epochs: [] }, details: [] });
  }

  load(data) {
    this.data = data;
    this.keys = data.trials.key;
    this.indices = this.keys.map((_, index) => index);
    this.positions = new Map(this.keys.map((key, index) => [key, index]));
    const found = new Set(data.trials.status);
    const status = { name: "status", label: "status", kind: "word", role: "identity", log: false,
      values: STATUSES.filter((word) => found.has(word)) };
    this.fields = [...data.fields.filter((field) => field.name !== "status"), status];
    this.byName = new Map(this.fields.map((field) => [field.name, field]));
    this.parameters = this.fields.filter((field) => field.role === "parameter");
    this.results = this.fields.filter((field) => field.role === "result" && field.kind === "number");
    const kept = (name) => (this.byName.has(name) ? name : null);
    this.metric = kept(this.picked.metric) ?? data.metric ?? this.results[0]?.name ?? null;
    const lr = this.parameters.slice(0, 2).find((field) => field.name === "lr") ?? this.parameters[0];
    const others = this.parameters.filter((field) => field !== lr);
    this.axes = [lr, others.find((field) => !this.areTied(lr, field)) ?? others[0]].map((field) => field?.name);  // of the scatter plot and the heat map
    this.color = kept(this.picked.color) ?? this.axes[1] ?? this.metric;
    for (const [name, { names }] of this.constraints) {
      if (names?.some((field) => !this.byName.has(field) && !data.curves[field])) this.constraints.delete(name);
    }
    this.scales = new Map();
    this.selection = null;
    this.ranking = null;
  }

  // Whether two fields rise together, as a learning rate and its base do: one of them tells the other.
  areTied(one, other) {
    const places = (field) => {
      const scale = new Scale(field, []);
      return this.data.trials[field.name].map((value) => scale.inner(value));
    };
    const left = places(one), right = places(other);
    const order = [...this.indices].sort((a, b) => left[a] - left[b]), pairs = order.slice(1).map((index, at) => [index, order[at]]);
    return pairs.every(([index, before]) => Math.sign(left[index] - left[before]) === Math.sign(right[index] - right[before]));
  }

  field(name) {
    return this.byName.get(name);
  }

  value(name, index) {
    return this.data.trials[name]?.[index] ?? null;
  }

  scale(name) {
    const values = this.data.trials[name];
    return this.cached(name, () => new Scale(this.field(name), name === this.metric ? values.filter((_, index) => !this.isApart(index)) : values));
  }

  cached(name, makeScale) {
    if (!this.scales.has(name)) this.scales.set(name, makeScale());
    return this.scales.get(name);
  }

  status(index) {
    return this.data.trials.status[index];
  }

  constrain(name, constraint) {
    if (constraint) this.constraints.set(name, constraint);
    else this.constraints.delete(name);
    this.selection = null;
  }

  get isSelecting() {
    return this.constraints.size > 0;
  }

  // The selected trials, or all of them while nothing is selected.
  get selected() {
    if (this.selection === null) {
      const tests = [...this.constraints.values()].map((constraint) => constraint.test);
      this.selection = this.indices.filter((index) => tests.every((test) => test(index)));
    }
    return this.selection;
  }

  // Whether a trial confirms a choice by an objective, which its training does not have: charts of the objective leave it out.
  isApart(index) {
    return this.metric?.startsWith("objective.") && this.data.trials.purpose?.[index] === "confirm" && this.value(this.metric, index) === null;
  }

  get visible() {
    return this.selected.filter((index) => !this.isApart(index));
  }

  get allVisible() {
    return this.indices.filter((index) => !this.isApart(index));
  }

  get highlighted() {
    const keys = this.opened === null ? this.pinned : new Set([...this.pinned, this.opened]);
    return [...keys].map((key) => this.positions.get(key)).filter((index) => index !== undefined);
  }

  // Whether less or more of the metric is better; null if neither is, and no trial is the best.
  get better() {
    return this.field(this.metric)?.better ?? null;
  }

  // All trials, the best by the metric first, those without a value last; in their own order if none is better.
  get ranked() {
    if (this.ranking === null || this.rankedBy !== this.metric) {
      const values = this.data.trials[this.metric] ?? [], sign = { less: 1, more: -1 }[this.better] ?? 0;
      const rank = (index) => (values[index] === null || values[index] === undefined ? Number.MAX_VALUE : sign * values[index]);
      this.ranking = [...this.indices].sort((a, b) => rank(a) - rank(b) || a - b);
      this.rankedBy = this.metric;
    }
    return this.ranking;
  }

  // What the trials that are first by `ranked` are called.
  get foremost() {
    return this.better ? "best" : "first";
  }

  // At most so many of these trials: all, or the best of them as one half and the others evenly by rank.
  some(indices, most) {
    if (indices.length <= most) return indices;
    const wanted = new Set(indices), ranked = this.ranked.filter((index) => wanted.has(index));
    const best = ranked.slice(0, most / 2), rest = ranked.slice(most / 2);
    return [...best, ...best.map((_, number) => rest[Math.floor((number * rest.length) / best.length)])];
  }

  colorOf(index, theme) {
    const field = this.field(this.color), value = this.value(this.color, index);
    return field ? colorAt(field, this.scale(field.name), value, theme) : theme.link;
  }

  words(index) {
    return this.parameters.map((field) => `${field.label} ${textOf(field, this.value(field.name, index))}`).join(", ");
  }
}

function colorAt(field, scale, value, theme) {
  if (field.kind === "word") return PALETTE[Math.max(field.values.indexOf(value), 0) % PALETTE.length];
  const fraction = scale.fraction(value);
  return fraction === null ? theme.quiet : rampColor(fraction);
}

function rampColor(fraction, ramp = RAMP) {
  const position = Math.min(Math.max(fraction, 0), 1) * (ramp.length - 1), start = Math.min(Math.floor(position), ramp.length - 2);
  const parts = [ramp[start], ramp[start + 1]].map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  const mixed = parts[0].map((part, at) => Math.round(part + (position - start) * (parts[1][at] - part)));
  return `rgb(${mixed.join(",")})`;
}

function currentTheme() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  const chosen = document.documentElement.dataset.theme;
  const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  return { ...Object.fromEntries(["page", "box", "text", "quiet", "line", "faint", "link"].map((name) => [name, named(name)])),
    isDark };
}
