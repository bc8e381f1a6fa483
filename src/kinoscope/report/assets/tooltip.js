// One tooltip for the whole page; it stays inside the window and never takes the pointer.

const tooltip = element("div", "tooltip", { role: "tooltip", hidden: true });
document.body.append(tooltip);

// `lines`: texts, or { label, text, value } for a line with a label's colour before it, or { style, … } with a class's.
function showTooltip(lines, x, y) {
  tooltip.replaceChildren(
    ...lines.map((line) => {
      if (typeof line === "string") return element("div", "", {}, line);
      const text = element("span", "name", {}, line.text);
      const swatch = line.style ? element("span", `swatch ${line.style}`) : line.label === undefined ? "" : paint(element("span", "swatch"), line.label);
      return element("div", "key", {}, swatch, text, element("b", "", {}, line.value ?? ""));
    }),
  );
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = clamp(x - box.width / 2, 8, Math.max(document.documentElement.clientWidth - box.width - 8, 8));
  const top = y - box.height - 12 > 4 ? y - box.height - 12 : y + 20;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${top}px`;
}

function hideTooltip() {
  tooltip.hidden = true;
}
