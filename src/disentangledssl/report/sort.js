"use strict";
// Headers become buttons that sort: rising, falling, as written. Empty cells stay last.
const said = document.getElementById("status");
const order = new Intl.Collator("en", { numeric: true });

function value(row, column, numbers) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  return text === "" ? null : numbers ? Number(text) : text;
}

function sort(table, written, header, column) {
  const next = { none: "ascending", ascending: "descending", descending: "none" }[header.getAttribute("aria-sort")];
  const numbers = header.dataset.kind === "number", sign = next === "descending" ? -1 : 1;
  const rows = [...written];
  if (next !== "none") {
    rows.sort((one, other) => {
      const a = value(one, column, numbers), b = value(other, column, numbers);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (numbers ? a - b : order.compare(a, b));
    });
  }
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", other === header ? next : "none");
  table.tBodies[0].append(...rows);
  said.textContent = next === "none" ? "Rows as written" : `Sorted by ${header.textContent}, ${next}`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const written = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, written, header, column));
    header.append(button);
  });
}
