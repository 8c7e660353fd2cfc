"use strict";
// Parallel coordinates: the library draws the axes and their intervals, a canvas below it the lines.

const MOST_LINES = 1000, MOST_AXES = 9;

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
    const { model } = this, texts = intervals.map(([low, high]) => rangeText(model.scale(name), low, high));
    this.page.constrain(`parallel.${name}`, intervals.length ? {
      label: texts.join(" or "), intervals,
      test: (index) => {
        const place = model.scale(name).place(model.value(name, index));
        return intervals.some((range) => between(range, place));
      } } : null);
  }

  get isBare() {
    return !this.model.parameters.length;
  }

  draw(isWhole) {
    const { model } = this;
    this.names = [...model.parameters.slice(0, MOST_AXES - 1).map((field) => field.name), model.metric];
    this.chosen = model.some(model.visible, MOST_LINES);
    if (isWhole) this.drawAxes();
    this.paint();
    const left = model.parameters.length - this.names.length + 1;
    const notes = [this.chosen.length < model.visible.length ? `${this.chosen.length} of ${model.visible.length} lines are drawn: half of them the ${model.foremost}, the others evenly by rank.` : "",
      left > 0 ? `The first ${this.names.length - 1} of ${model.parameters.length} parameters.` : ""];
    this.describe(`Parallel coordinates: a line for each of ${counted(this.chosen.length, "trial")} through ${this.names.map((name) => model.field(name).label).join(", ")}. Filters of the table select the same.`,
      notes.filter(Boolean).join(" "));
  }

  drawAxes() {
    const { theme } = this.page, scales = this.names.map((name) => this.model.scale(name));
    const isUpright = this.isUpright = this.chart.getWidth() / this.names.length < 78;
    this.plot.classList.toggle("upright", isUpright);
    this.box = isUpright ? { left: 110, right: 28, top: 24, bottom: 24 } : { left: 46, right: 56, top: 54, bottom: 22 };
    this.chart.setOption({ animation: false, parallel: { layout: isUpright ? "vertical" : "horizontal", ...this.box }, series: [{ type: "parallel", data: [] }],
      parallelAxis: scales.map((scale, dim) => ({ ...axisOptions(scale, theme, null, { most: isUpright ? 4 : 7, length: isUpright ? this.chart.getWidth() - this.box.left - this.box.right : Infinity }), dim, id: `axis${dim}`,
        name: broken(scale.field.label), nameLocation: isUpright ? "start" : "end", nameGap: 12, splitLine: undefined, realtime: true, z: 10,
        nameTextStyle: { color: theme.text, fontSize: 11, lineHeight: 13, width: isUpright ? 96 : 110, overflow: "truncate" },
        axisLine: { lineStyle: { color: theme.quiet } }, areaSelectStyle: { width: 18, color: theme.link, opacity: 0.25, borderColor: theme.link, borderWidth: 1 } })) },
    { notMerge: true });
    this.restore();
  }

  // The pixels of a trial's line, an axis after the other, without those where it has no value.
  points(index) {
    const { left, right, top, bottom } = this.box, width = this.chart.getWidth() - left - right, height = this.chart.getHeight() - top - bottom;
    return this.names.flatMap((name, axis) => {
      const scale = this.model.scale(name), place = scale.place(this.model.value(name, index));
      if (place === null) return [];
      const along = (place - scale.low) / (scale.high - scale.low), across = axis / Math.max(this.names.length - 1, 1);
      return [this.isUpright ? [left + along * width, top + across * height] : [left + across * width, top + (1 - along) * height]];
    });
  }

  // Draws the lines: thousands of them take too long as elements of the library.
  paint() {
    const { model } = this, { theme } = this.page, context = this.cleared();
    const draw = (indices, color, lineWidth, alpha) => {
      for (const index of indices) strokeLine(context, this.points(index), color(index), lineWidth, alpha);
    };
    const number = this.chosen.length;
    if (model.isSelecting) draw(model.some(model.allVisible, MOST_LINES), () => theme.faint, 1, 0.3);
    draw([...this.chosen].reverse(), (index) => model.colorOf(index, theme), number > 200 ? 1 : 1.6, number > 500 ? 0.4 : number > 100 ? 0.6 : 0.85);
    draw(this.marked, () => theme.text, 3, 1);
  }

  nearest(at) {
    return nearestLine(this.chosen.map((index) => [index, this.points(index)]), at, this.isUpright ? 1 : 0);
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
