// Rows of bars on one time axis, with ruler, film strip, curves and a play head through all of them.

const MOST_LANES = 4;
const MOST_ZOOM = 256;

function timeAt(track, event, duration) {
  const box = track.getBoundingClientRect();
  return clamp((event.clientX - box.left) / Math.max(box.width, 1), 0, 1) * duration;
}

// A click seeks; a mouse that stays pressed scrubs. Fingers keep scrolling the page.
function scrubbing(track, page, player) {
  let dragged = false;
  track.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0 && !event.target.closest("button")) {
      dragged = true;
      track.setPointerCapture(event.pointerId);
    }
  });
  track.addEventListener("pointermove", (event) => dragged && player.seek(timeAt(track, event, page.duration)));
  for (const name of ["pointerup", "pointercancel"]) track.addEventListener(name, () => (dragged = false));
  track.addEventListener("click", (event) => {
    if (!event.target.closest("button")) player.seek(timeAt(track, event, page.duration));
  });
}

function readSegments(rows, kind) {
  return rows.map(([start, end, label, score], row) => ({ start, end, label, score, row, kind }));
}

function isActive(segment, time) {
  return segment.start !== null && segment.end !== null && segment.start <= time + 1e-3 && time < segment.end;
}

function createTimeline(host, page, labels, segments, player) {
  const bars = [];
  const content = element("div", "content");
  const scroller = element("div", "scroller", {}, content);
  const { row: rulerRow, slider } = createRuler(page, player);
  const grid = element("div", "grid", { "aria-hidden": "true" });
  const head = element("div", "playhead", { "aria-hidden": "true" });
  content.append(rulerRow, ...labelRows(page, labels, segments, player, bars));
  const film = page.thumbnails.length ? createFilmstrip(page, player) : null;
  if (film) content.append(film.row);
  const curves = page.curves.length ? createCurves(page, labels, player) : null;
  if (curves) content.append(curves.row);
  content.append(element("div", "overlay", {}, grid, head));

  const toolbar = element("div", "toolbar", {}, element("h3", "", {}, "Timeline"), keyOf(segments), element("span", "space"));
  host.replaceChildren(toolbar, scroller, ...(curves ? [curves.legend] : []));
  host.hidden = false;
  const width = () => slider.clientWidth;
  const layOut = () => {
    drawTicks(slider, grid, page.duration, width());
    film?.layOut(width());
    for (const bar of bars) bar.node.classList.toggle("roomy", ((bar.segment.end - bar.segment.start) / page.duration) * width() > 40);
  };
  // Turns the page when the play head walks out of sight, but never pulls back somebody who scrolled away from it.
  let seen = { left: -1, head: false };
  const follow = (share) => {
    const left = scroller.scrollLeft;
    const place = slider.offsetLeft + share * width() - left;
    if (place > scroller.clientWidth && seen.head && seen.left === left) scroller.scrollLeft = share * width() - 40;
    seen = { left: scroller.scrollLeft, head: place >= slider.offsetLeft && place <= scroller.clientWidth };
  };
  const zoom = zoomButtons(content, scroller, page, player, width);
  toolbar.append(zoom);
  new ResizeObserver(layOut).observe(slider);
  roving(content, bars.map((bar) => bar.node), nextBar);

  return {
    update(time, playing) {
      const share = clamp(time / page.duration, 0, 1);
      head.style.left = `${share * 100}%`;
      slider.setAttribute("aria-valuenow", time.toFixed(2));
      slider.setAttribute("aria-valuetext", clock(time));
      for (const bar of bars) {
        const active = isActive(bar.segment, time);
        if (active !== bar.active) bar.node.classList.toggle("active", (bar.active = active));
      }
      if (playing) follow(share);
    },
  };
}

function createRuler(page, player) {
  const slider = element("div", "track ruler", { tabIndex: 0, role: "slider" });
  const attributes = { "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": page.duration.toFixed(2), "aria-valuenow": "0" };
  for (const [name, value] of Object.entries(attributes)) slider.setAttribute(name, value);
  slider.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 5 : 1;
    const goals = { ArrowLeft: player.time() - step, ArrowRight: player.time() + step, Home: 0, End: page.duration };
    if (event.key in goals) player.seek(goals[event.key]);
    else if (event.key === " ") player.playing() ? player.pause() : player.play();
    else return;
    event.preventDefault();
  });
  scrubbing(slider, page, player);
  return { row: element("div", "row ruler-row", {}, element("div", "gutter"), slider), slider };
}

function keyOf(segments) {
  const entries = [["prediction", "Prediction"], ["truth", "Ground truth"]].filter(([kind]) => segments.some((item) => item.kind === kind));
  return element("div", "kinds", {}, ...entries.map(([kind, text]) => element("span", "", {}, element("i", kind), text)));
}

// One row per label, in the order of its first appearance; overlapping segments get lanes of their own.
function labelRows(page, labels, segments, player, bars) {
  const drawable = segments.filter((item) => item.start !== null && item.end !== null);
  drawable.sort((a, b) => a.start - b.start || b.end - a.end);
  const order = [...new Set(drawable.map((item) => item.label))];
  return order.map((label, row) => {
    const name = element("span", "name", { title: labels[label] }, labels[label]);
    const track = element("div", "track bars");
    const mine = drawable.filter((item) => item.label === label);
    const truth = mine.filter((item) => item.kind === "truth");
    const predicted = mine.filter((item) => item.kind === "prediction");
    const lanes = [intoLanes(truth), intoLanes(predicted)];
    track.style.setProperty("--truth-lanes", lanes[0]);
    track.style.setProperty("--lanes", lanes[1]);
    for (const segment of [...truth, ...predicted]) {
      const node = createBar(segment, page, labels, player);
      node.dataset.line = row;
      bars.push({ node, segment, active: false });
      track.append(node);
    }
    scrubbing(track, page, player);
    return element("div", "row", {}, element("div", "gutter", {}, paint(element("span", "swatch"), label), name), track);
  });
}

function intoLanes(segments) {
  const ends = [];
  for (const segment of segments) {
    const free = ends.findIndex((end) => end <= segment.start + 1e-6);
    segment.lane = free >= 0 ? free : Math.min(ends.length, MOST_LANES - 1);
    ends[segment.lane] = Math.max(ends[segment.lane] ?? 0, segment.end);
  }
  return ends.length;
}

function createBar(segment, page, labels, player) {
  const node = paint(element("button", `bar ${segment.kind}`, { type: "button", tabIndex: -1 }), segment.label);
  const start = clamp(segment.start / page.duration, 0, 1);
  node.style.left = `${start * 100}%`;
  node.style.width = `${(clamp(segment.end / page.duration, start, 1) - start) * 100}%`;
  node.style.setProperty("--lane", segment.lane);
  if (segment.score !== null) node.style.setProperty("--score", clamp(segment.score, 0, 1).toFixed(3));
  const times = `${clock(segment.start)} – ${clock(segment.end)}`;
  const facts = [times, segment.kind === "truth" ? "ground truth" : segment.score === null ? "" : `score ${segment.score.toFixed(3)}`];
  node.setAttribute("aria-label", [labels[segment.label], ...facts].filter(Boolean).join(", "));
  if (segment.score !== null) node.append(element("span", "", {}, segment.score.toFixed(2)));
  const show = (x, y) => showTooltip([{ label: segment.label, text: labels[segment.label] }, ...facts.filter(Boolean)], x, y);
  node.addEventListener("pointermove", (event) => show(event.clientX, node.getBoundingClientRect().top));
  node.addEventListener("focus", () => {
    const box = node.getBoundingClientRect();
    if (node.matches(":focus-visible")) show(box.left + Math.min(box.width / 2, 60), box.top);
  });
  for (const name of ["pointerleave", "blur"]) node.addEventListener(name, hideTooltip);
  node.addEventListener("click", () => playSegment(segment, player));
  return node;
}

// Play from the segment's start; clicked again while it plays, pause.
function playSegment(segment, player) {
  if (player.playing() && isActive(segment, player.time())) {
    player.pause();
  } else {
    player.seek(segment.start);
    player.play();
  }
}

function drawTicks(slider, grid, duration, width) {
  const marks = ticks(0, duration, width, 72);
  const place = (node, time) => {
    node.style.left = `${(time / duration) * 100}%`;
    return node;
  };
  const roomy = marks.filter((mark) => (1 - mark.time / duration) * width > 44); // the last text must not stick out
  slider.replaceChildren(...roomy.map((mark) => place(element("span", "", {}, mark.text), mark.time)));
  grid.replaceChildren(...marks.map((mark) => place(element("i"), mark.time)));
}

function zoomButtons(content, scroller, page, player, width) {
  let zoom = 1;
  const apply = (value) => {
    zoom = clamp(value, 1, clamp(page.duration, 1, MOST_ZOOM));
    content.style.setProperty("--zoom", zoom);
    scroller.scrollLeft = (player.time() / page.duration) * width() - scroller.clientWidth / 2;
    out.disabled = fit.disabled = zoom <= 1;
  };
  const button = (text, name, act) => {
    const node = element("button", "", { type: "button", title: name }, text);
    node.setAttribute("aria-label", name);
    node.addEventListener("click", act);
    return node;
  };
  const out = button("−", "Zoom out", () => apply(zoom / 2));
  const fit = button("Fit", "Show the whole video", () => apply(1));
  out.disabled = fit.disabled = true;
  return element("div", "zoom", { role: "group" }, out, fit, button("+", "Zoom in", () => apply(zoom * 2)));
}

// One tab stop for many nodes; arrow keys move among them.
function roving(host, nodes, next) {
  if (!nodes.length) return;
  nodes[0].tabIndex = 0;
  let current = nodes[0];
  host.addEventListener("focusin", (event) => {
    if (!nodes.includes(event.target)) return;
    current.tabIndex = -1;
    current = event.target;
    current.tabIndex = 0;
  });
  host.addEventListener("keydown", (event) => {
    if (!nodes.includes(event.target)) return;
    const goal = next(nodes, event.target, event.key);
    if (!goal) return;
    event.preventDefault();
    goal.focus();
  });
}

function nextBar(nodes, node, key) {
  const index = nodes.indexOf(node);
  const line = Number(node.dataset.line);
  if (key === "ArrowRight" || key === "ArrowLeft") return nodes[index + (key === "ArrowRight" ? 1 : -1)];
  if (key === "ArrowDown") return nodes.find((other) => Number(other.dataset.line) === line + 1);
  if (key === "ArrowUp") return nodes.find((other) => Number(other.dataset.line) === line - 1);
  return null;
}
