// Scores over time: one SVG path per label on the timeline's axis, with a legend that switches them on and off.

const SHOWN_AT_FIRST = 6;

function createCurves(page, labels, player) {
  const plot = drawing("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const level of [0, 50, 100]) plot.append(drawing("line", { class: "level", x1: 0, x2: 1000, y1: level, y2: level }));
  const curves = page.curves
    .map((curve) => ({ ...curve, peak: Math.max(0, ...curve.values.filter((value) => value !== null)) }))
    .sort((a, b) => b.peak - a.peak);
  const legend = element("div", "legend", { role: "group", "aria-label": "Score curves" });
  curves.forEach((curve, rank) => {
    curve.path = paint(drawing("path", { class: "curve", d: outline(curve, page.duration) }), curve.label);
    curve.button = element("button", "", { type: "button", title: labels[curve.label] });
    curve.button.append(paint(element("span", "swatch"), curve.label), element("span", "name", {}, labels[curve.label]));
    const show = (shown) => {
      curve.shown = shown;
      curve.path.classList.toggle("off", !shown);
      curve.button.setAttribute("aria-pressed", String(shown));
    };
    curve.button.addEventListener("click", () => {
      show(!curve.shown);
      curve.path.classList.toggle("strong", curve.shown);
    });
    const point = (on) => () => curve.path.classList.toggle("strong", on);
    curve.button.addEventListener("pointerenter", point(true));
    curve.button.addEventListener("pointerleave", point(false));
    show(rank < SHOWN_AT_FIRST);
    legend.append(curve.button);
  });
  plot.append(...curves.map((curve) => curve.path).reverse()); // the highest curve lies on top

  const track = element("div", "track plot");
  track.append(plot);
  track.addEventListener("pointermove", (event) => {
    const time = timeAt(track, event, page.duration);
    const lines = curves
      .filter((curve) => curve.shown)
      .map((curve) => ({ label: curve.label, score: valueAt(curve, time) }))
      .filter((line) => line.score !== null)
      .sort((a, b) => b.score - a.score)
      .map((line) => ({ label: line.label, text: labels[line.label], value: line.score.toFixed(2) }));
    showTooltip([clock(time), ...lines.slice(0, 8)], event.clientX, event.clientY);
  });
  track.addEventListener("pointerleave", hideTooltip);
  const axis = element("div", "axis", { "aria-hidden": "true" }, ...["1", "0.5", "0"].map((text) => element("span", "", {}, text)));
  const row = element("div", "row curves", {}, element("div", "gutter", {}, element("span", "name", {}, "Scores"), axis), track);
  scrubbing(track, page, player);
  return { row, legend };
}

function outline(curve, duration) {
  let path = "";
  let pen = "M";
  curve.times.forEach((time, index) => {
    const value = curve.values[index];
    if (value === null) {
      pen = "M";
      return;
    }
    const alone = pen === "M" && (curve.values[index + 1] ?? null) === null;
    path += `${pen}${((time / duration) * 1000).toFixed(2)} ${(100 - clamp(value, 0, 1) * 100).toFixed(1)}`;
    if (alone) path += "h0.01"; // a point between two gaps becomes a dot
    pen = "L";
  });
  return path;
}

function valueAt(curve, time) {
  return curve.times.length ? curve.values[nearest(curve.times, time)] : null;
}
