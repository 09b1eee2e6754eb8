"use strict";
// Makes every table sortable: a press on a heading sorts best first, then worst first, then as the paper has the rows.
const live = document.getElementById("sorted");
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const value = (row) => row.cells[column].querySelector("data")?.value ?? row.cells[column].textContent.trim();
    const name = heading.textContent.trim();
    const numbers = original.some((row) => row.cells[column].querySelector("data"));
    const first = numbers && !name.includes("↓") && name !== "rank" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const button = document.createElement("button");
    button.textContent = name;
    heading.scope = "col";
    heading.classList.toggle("text", !numbers);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const next = now === first ? second : now === second ? null : first;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) heading.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const rows = next ? [...original].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const [p, q] = [Number(x), Number(y)];
        return sign * (Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q);
      }) : original;
      body.append(...rows);
      live.textContent = `${table.caption.textContent}: ${next ? `sorted by ${name}, ${next}` : "original order"}`;
    });
  });
}
// A press on an image shows it at its own size; another press, or Escape, closes it.
const large = document.getElementById("large");
for (const button of document.querySelectorAll("button.enlarge")) {
  button.addEventListener("click", () => {
    large.replaceChildren(button.firstElementChild.cloneNode());
    large.showModal();
  });
}
large.addEventListener("click", () => large.close());
