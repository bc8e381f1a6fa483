// Tables that the report brings along as HTML: sorting by a column, rows that seek.

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = element("button", "", { type: "button" }, ...heading.childNodes);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortRows(table.tBodies[0], column, up);
    });
  });
}

function sortRows(body, column, up) {
  const rows = [...body.rows].map((row) => ({ row, key: sortKey(row.cells[column]) }));
  const order = (a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null); // what is unknown goes last
    const numbers = typeof a.key === "number" && typeof b.key === "number";
    return (numbers ? a.key - b.key : String(a.key).localeCompare(String(b.key))) * (up ? 1 : -1);
  };
  body.append(...rows.sort(order).map(({ row }) => row));
}

function sortKey(cell) {
  if (!cell) return null;
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const number = parseFloat(text.replace(/,/g, ""));
  return cell.classList.contains("num") && Number.isFinite(number) ? number : text;
}

// A click or Enter on a row plays its segment; the rows of active segments are marked.
function linkRows(table, segments, player) {
  if (!table || !table.tBodies.length) return { update() {} };
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, segment: segments[Number(row.dataset.row)], active: false }));
  for (const { row, segment } of rows) {
    if (segment.start === null) continue;
    row.classList.add("seeks");
    row.tabIndex = -1;
    if (segment.score !== null) row.lastElementChild.style.setProperty("--score", clamp(segment.score, 0, 1).toFixed(3));
    row.cells[0].prepend(paint(element("span", "swatch"), segment.label));
    row.addEventListener("click", () => playSegment(segment, player));
    row.addEventListener("keydown", (event) => event.key === "Enter" && playSegment(segment, player));
  }
  roving(table, rows.filter((item) => item.segment.start !== null).map((item) => item.row), nextRow);
  return {
    update(time, playing) {
      for (const item of rows) {
        const active = isActive(item.segment, time);
        if (active === item.active) continue;
        item.row.classList.toggle("active", (item.active = active));
        if (active && playing) keepInSight(item.row);
      }
    },
  };
}

// Scrolls the list only, never the page.
function keepInSight(row) {
  const list = row.closest(".side-scroll");
  if (!list) return;
  const above = row.offsetTop - list.scrollTop < 40;
  const below = row.offsetTop + row.offsetHeight - list.scrollTop > list.clientHeight;
  if (above || below) list.scrollTop = row.offsetTop - list.clientHeight / 3;
}

function nextRow(nodes, node, key) {
  if (key === "ArrowDown") return node.nextElementSibling;
  if (key === "ArrowUp") return node.previousElementSibling;
  return null;
}
