// Charts are drawn by the report itself; here the pointer gets the values of all lines below it.

function explainChart(figure) {
  const chart = data.charts[Number(figure.dataset.chart)];
  const field = figure.querySelector(".chart-field");
  const names = [...figure.querySelectorAll(".chart-legend bdi")].map((node) => node.textContent);
  const unit = figure.querySelector(".chart-x").textContent;
  const pole = drawing("path", { class: "pole" });
  field.append(pole);
  field.addEventListener("pointermove", (event) => {
    const box = field.getBoundingClientRect();
    const share = clamp((event.clientX - box.left) / box.width, 0, 1);
    const x = chart.low + share * (chart.high - chart.low);
    pole.setAttribute("d", `M${share * 1000} 0V1000`);
    const lines = chart.lines
      .map((line, index) => ({ line, name: names[index], at: nearest(line.x, x) }))
      .filter(({ line, at }) => x <= line.x[line.x.length - 1] * 1.02 && line.y[at] !== null)
      .map(({ line, name, at }) => ({ style: line.style, text: name, value: line.y[at].toFixed(3) }));
    showTooltip([`${x.toFixed(2)} ${unit}`, ...lines], event.clientX, event.clientY);
  });
  field.addEventListener("pointerleave", () => {
    pole.removeAttribute("d");
    hideTooltip();
  });
}
