// Self-similarity maps as heat maps on one colour scale, with axes in seconds; a click seeks.

// Lightness rises evenly from dark to bright, so the map also reads without colour.
const HEAT = [[18, 20, 46], [44, 56, 128], [30, 116, 158], [64, 176, 150], [168, 218, 116], [252, 244, 168]];
const NO_VALUE = 255;

function heat(share) {
  const place = clamp(share, 0, 1) * (HEAT.length - 1);
  const below = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[below].map((from, channel) => Math.round(from + (HEAT[below + 1][channel] - from) * (place - below)));
}

function createMaps(host, page, player) {
  const maps = page.maps.map((map) => ({ ...map, cells: bytesOf(map.cells), size: map.times.length }));
  const views = maps.map((map) => createMap(map, player));
  const own = element("input", "", { type: "checkbox" });
  const shared = { low: Math.min(...maps.map((map) => quantile(map, 0.01))), high: Math.max(...maps.map((map) => map.high)) };
  const draw = () =>
    views.forEach((view, index) => view.draw(own.checked ? { low: quantile(maps[index], 0.01), high: maps[index].high } : shared));
  own.addEventListener("change", draw);
  const choice = maps.length > 1 ? [element("label", "choice", {}, own, "each on its own scale")] : [];
  const heading = element("div", "toolbar", {}, element("h3", "", {}, "Self-similarity"), element("span", "hint", {}, "cosine between the features of two moments"), element("span", "space"), ...choice);
  host.replaceChildren(element("div", "card", {}, heading, element("div", "map-list", {}, ...views.map((view) => view.figure))));
  host.hidden = false;
  draw();
  return { update: (time) => views.forEach((view) => view.update(time)) };
}

// Nearly the lowest cosine: a single odd cell must not take the colours from the rest.
function quantile(map, share) {
  const known = map.cells.filter((cell) => cell !== NO_VALUE).sort();
  return known.length ? map.low + (known[Math.floor((known.length - 1) * share)] / 254) * (map.high - map.low) : map.low;
}

function createMap(map, player) {
  const half = map.size > 1 ? (map.times[map.size - 1] - map.times[0]) / (map.size - 1) / 2 : 0.5;
  const start = map.times[0] - half;
  const length = map.times[map.size - 1] + half - start;
  const canvas = element("canvas", "", { width: map.size, height: map.size, role: "img" });
  canvas.setAttribute("aria-label", `Self-similarity, ${map.title}`);
  const across = element("i", "across");
  const down = element("i", "down");
  const field = element("div", "field", {}, canvas, across, down);
  const bottom = element("div", "bottom", { "aria-hidden": "true" });
  const left = element("div", "left", { "aria-hidden": "true" });
  const scale = element("canvas", "", { width: 128, height: 1 });
  const low = element("span");
  const high = element("span");
  const legend = element("div", "scale", { "aria-label": "Colour scale" }, low, scale, high);
  const figure = element("figure", "map", {}, element("figcaption", "", {}, map.title), element("div", "axes", {}, left, field, bottom), legend);

  const indexAt = (position, extent) => clamp(Math.floor((position / extent) * map.size), 0, map.size - 1);
  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return [indexAt(event.clientX - box.left, box.width), indexAt(event.clientY - box.top, box.height)];
  };
  field.addEventListener("click", (event) => player.seek(map.times[cellAt(event)[0]]));
  field.addEventListener("pointermove", (event) => {
    const [x, y] = cellAt(event);
    const cell = map.cells[y * map.size + x];
    const value = cell === NO_VALUE ? "no value" : `cosine ${(map.low + (cell / 254) * (map.high - map.low)).toFixed(3)}`;
    showTooltip([`${clock(map.times[x])} and ${clock(map.times[y])}`, value], event.clientX, event.clientY);
  });
  field.addEventListener("pointerleave", hideTooltip);
  new ResizeObserver(() => {
    const marks = ticks(Math.max(start, 0), start + length, field.clientWidth, 56);
    const mark = (side) => (tick) => {
      const node = element("span", "", {}, tick.text);
      node.style[side] = `${((tick.time - start) / length) * 100}%`;
      return node;
    };
    bottom.replaceChildren(...marks.map(mark("left")));
    left.replaceChildren(...marks.map(mark("top")));
  }).observe(field);

  return {
    figure,
    draw(range) {
      fill(canvas, map.cells, (cell) => (cell === NO_VALUE ? null : (map.low + (cell / 254) * (map.high - map.low) - range.low) / Math.max(range.high - range.low, 1e-9)));
      fill(scale, Uint8Array.from({ length: 128 }, (_, index) => index), (index) => index / 127);
      low.textContent = `≤ ${range.low.toFixed(2)}`;
      high.textContent = range.high.toFixed(2);
    },
    update(time) {
      const share = clamp((time - start) / length, 0, 1);
      across.style.top = down.style.left = `${share * 100}%`;
    },
  };
}

function fill(canvas, cells, shareOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const colours = Array.from({ length: 256 }, (_, cell) => {
    const share = shareOf(cell);
    return share === null ? [128, 128, 128] : heat(share);
  });
  cells.forEach((cell, index) => image.data.set([...colours[cell], 255], index * 4));
  context.putImageData(image, 0, 0);
}
