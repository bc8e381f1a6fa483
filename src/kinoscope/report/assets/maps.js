// Self-similarity maps as heat maps on one colour scale, with axes in seconds; a click seeks.

// Lightness rises evenly from dark to bright, so the map also reads without colour.
const HEAT = [[18, 20, 46], [44, 56, 128], [30, 116, 158], [64, 176, 150], [168, 218, 116], [252, 244, 168]];
const NO_VALUE = 255;

function heat(share) {
  const place = clamp(share, 0, 1) * (HEAT.length - 1);
  const below = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[below].map((from, channel) => Math.round(from + (HEAT[below + 1][channel] - from) * (place - below)));
}

function createMaps(host, page, truth, player) {
  const maps = page.maps.map((map) => ({ ...map, cells: bytesOf(map.cells), size: map.times.length }));
  const bounds = truth.flatMap((segment) => [segment.start, segment.end]).filter((time) => time !== null);
  const views = maps.map((map) => createMap(map, bounds, player));
  const own = element("input", "", { type: "checkbox" });
  const shared = { low: Math.min(...maps.map((map) => quantile(map, 0.01))), high: Math.max(...maps.map((map) => map.high)) };
  const draw = () =>
    views.forEach((view, index) => view.draw(own.checked ? { low: quantile(maps[index], 0.01), high: maps[index].high } : shared));
  own.addEventListener("change", draw);
  const choice = maps.length > 1 ? [element("label", "choice", {}, own, "each on its own scale")] : [];
  const heading = element("div", "toolbar", {}, element("h3", "", {}, "Self-similarity"), element("span", "hint", {}, "cosine between the features of two moments"), element("span", "space"), ...choice);
  const rows = [...new Set(maps.map((map) => map.group))].map((group) => {
    const members = views.filter((view) => view.map.group === group);
    members.forEach((view) => (view.peers = members));
    const title = group ? [element("h4", "", {}, group)] : [];
    return element("div", "map-group", {}, ...title, element("div", "map-list", {}, ...members.map((view) => view.figure)));
  });
  const notes = page.mapNotes.map((note) => element("p", "table-note", {}, note));
  host.replaceChildren(element("div", "card", {}, heading, ...rows, ...notes));
  host.hidden = false;
  draw();
  return { update: (time) => views.forEach((view) => view.update(time)) };
}

// Nearly the lowest cosine: a single odd cell must not take the colours from the rest.
function quantile(map, share) {
  const known = map.cells.filter((cell) => cell !== NO_VALUE).sort();
  return known.length ? map.low + (known[Math.floor((known.length - 1) * share)] / 254) * (map.high - map.low) : map.low;
}

function createMap(map, bounds, player) {
  const half = map.size > 1 ? (map.times[map.size - 1] - map.times[0]) / (map.size - 1) / 2 : 0.5;
  const start = map.times[0] - half;
  const length = map.times[map.size - 1] + half - start;
  const place = (time) => `${((time - start) / length) * 100}%`;
  const canvas = element("canvas", "", { width: map.size, height: map.size, role: "img" });
  canvas.setAttribute("aria-label", ["Self-similarity", map.group, map.title].filter(Boolean).join(", "));
  const across = element("i", "across");
  const down = element("i", "down");
  const spot = element("i", "spot", { hidden: true });
  const inside = [...new Set(bounds)].filter((time) => time > start && time < start + length);
  const field = element("div", "field", {}, canvas, ...inside.flatMap((time) => boundary(place(time))), across, down, spot);
  const bottom = element("div", "bottom", { "aria-hidden": "true" });
  const left = element("div", "left", { "aria-hidden": "true" });
  const scale = element("canvas", "", { width: 128, height: 1 });
  const low = element("span");
  const high = element("span");
  const legend = element("div", "scale", { "aria-label": "Colour scale" }, low, scale, high);
  const figure = element("figure", "map", {}, element("figcaption", "", { title: map.title }, map.title), element("div", "axes", {}, left, field, bottom), legend);

  const view = {
    map,
    figure,
    peers: [],
    draw(range) {
      fill(canvas, map.cells, (cell) => (cell === NO_VALUE ? null : (map.low + (cell / 254) * (map.high - map.low) - range.low) / Math.max(range.high - range.low, 1e-9)));
      fill(scale, Uint8Array.from({ length: 128 }, (_, index) => index), (index) => index / 127);
      low.textContent = `≤ ${range.low.toFixed(2)}`;
      high.textContent = range.high.toFixed(2);
    },
    update(time) {
      across.hidden = down.hidden = time < start || time > start + length;
      across.style.top = down.style.left = place(time);
    },
    valueAt(first, second) {
      const cell = map.cells[nearest(map.times, second) * map.size + nearest(map.times, first)];
      return cell === NO_VALUE ? "no value" : (map.low + (cell / 254) * (map.high - map.low)).toFixed(3);
    },
    point(first, second) {
      spot.hidden = first === undefined;
      spot.style.left = place(first);
      spot.style.top = place(second);
    },
  };
  listen(view, field, canvas, player);
  new ResizeObserver(() => {
    const marks = ticks(Math.max(start, 0), start + length, field.clientWidth, 56);
    const mark = (side) => (tick) => {
      const node = element("span", "", {}, tick.text);
      node.style[side] = place(tick.time);
      return node;
    };
    const roomy = marks.filter((tick) => (1 - (tick.time - start) / length) * field.clientWidth > 12); // the last text must not stick out
    bottom.replaceChildren(...roomy.map(mark("left")));
    left.replaceChildren(...marks.map(mark("top")));
  }).observe(field);
  return view;
}

// A click seeks. The place under the pointer is marked in every map of the group, and all their values are told.
function listen(view, field, canvas, player) {
  const indexAt = (position, extent) => clamp(Math.floor((position / extent) * view.map.size), 0, view.map.size - 1);
  const timesAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const cells = [indexAt(event.clientX - box.left, box.width), indexAt(event.clientY - box.top, box.height)];
    return cells.map((cell) => view.map.times[cell]);
  };
  field.addEventListener("click", (event) => player.seek(timesAt(event)[0]));
  field.addEventListener("pointermove", (event) => {
    const [first, second] = timesAt(event);
    view.peers.forEach((peer) => peer.point(first, second));
    const values = view.peers.map((peer) => ({ text: peer.map.title, value: peer.valueAt(first, second) }));
    const single = view.peers.length < 2;
    showTooltip([`${clock(first)} and ${clock(second)}`, ...(single ? [`cosine ${values[0].value}`] : values)], event.clientX, event.clientY);
  });
  field.addEventListener("pointerleave", () => {
    view.peers.forEach((peer) => peer.point());
    hideTooltip();
  });
}

// Where an annotated segment starts or ends: a mark at the upper and the left edge, and one on the diagonal.
function boundary(place) {
  const [above, beside, corner] = ["bound above", "bound beside", "bound corner"].map((name) => element("i", name));
  above.style.left = beside.style.top = corner.style.left = corner.style.top = place;
  return [above, beside, corner];
}

// Cells without a value stay transparent: the hatched ground shows.
function fill(canvas, cells, shareOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const colours = Array.from({ length: 256 }, (_, cell) => {
    const share = shareOf(cell);
    return share === null ? [0, 0, 0, 0] : [...heat(share), 255];
  });
  cells.forEach((cell, index) => image.data.set(colours[cell], index * 4));
  context.putImageData(image, 0, 0);
}
