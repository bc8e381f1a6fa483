// Seconds as text, ticks on time axes, and a few words for building elements without ever parsing HTML.

const TICK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

function clock(seconds, digits = 2) {
  const scale = 10 ** digits;
  const units = Math.round(Math.max(seconds, 0) * scale);
  const whole = Math.floor(units / scale);
  const pad = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  const head = minutes >= 60 ? `${Math.floor(minutes / 60)}:${pad(minutes % 60)}` : `${minutes}`;
  const fraction = digits ? `.${String(units % scale).padStart(digits, "0")}` : "";
  return `${head}:${pad(whole % 60)}${fraction}`;
}

// Round times from `start` to `end`, at least `gap` pixels apart on an axis of `width` pixels.
function ticks(start, end, width, gap) {
  const smallest = ((end - start) * gap) / Math.max(width, 1);
  const step = TICK_STEPS.find((size) => size >= smallest) ?? Math.ceil(smallest / 3600) * 3600;
  const digits = step < 1 ? 1 : 0;
  const marks = [];
  for (let index = Math.ceil(start / step - 1e-6); index * step <= end + 1e-6; index++) {
    marks.push({ time: index * step, text: clock(index * step, digits) });
  }
  return marks;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// An element with classes, properties and children; strings become text nodes, never markup.
function element(tag, className = "", properties = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const SVG = document.querySelector("svg").namespaceURI;

function drawing(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Neighbouring hues differ much; the golden angle spreads those after the first dozen.
const HUES = [255, 45, 155, 335, 95, 210, 300, 20, 125, 235, 70, 180];

function paint(node, label) {
  const hue = label < HUES.length ? HUES[label] : (label * 137.508) % 360;
  node.style.setProperty("--hue", hue.toFixed(1));
  return node;
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

// Position of the last entry of ascending `times` that is not after `time`, at least 0.
function lastBefore(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

function nearest(times, time) {
  const left = lastBefore(times, time);
  return left + 1 < times.length && times[left + 1] - time < time - times[left] ? left + 1 : left;
}
