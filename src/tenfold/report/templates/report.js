// Interactive parts of a page: copy buttons, sortable tables, images of confusion cells. The page is readable without.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
  const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;
  const element = (tag, properties = {}, ...children) => {
    const created = Object.assign(document.createElement(tag), properties);
    created.append(...children);
    return created;
  };

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // clipboard not available: select the text for the user to copy
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Tables sort by a column: numbers descending first, names ascending first.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const first = column ? "descending" : "ascending", second = column ? "ascending" : "descending";
        const order = heading.ariaSort === first ? second : first;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.ariaSort = order;
        const sign = order === "ascending" ? 1 : -1;
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const compare = column
          ? (a, b) => sign * (Number(value(a)) - Number(value(b)))
          : (a, b) => sign * value(a).localeCompare(value(b), undefined, { numeric: true });
        body.append(...[...body.rows].sort(compare));
      });
    });
  }

  // The confusion matrix: cells with images become buttons; only one of them is in the tab order.
  const cellImages = document.querySelector(".cell-images");
  if (cellImages) {
    document.querySelector(".hint").hidden = false;
    const cells = [...document.querySelectorAll("td[data-cell]")].filter((cell) => data.cells[cell.dataset.cell]);
    const buttons = new Map(cells.map((cell) => [cell.dataset.cell, asButton(cell)]));
    if (cells.length) focusable(buttons.get(cells[0].dataset.cell));

    function asButton(cell) {
      const [truth, predicted] = cell.dataset.cell.split("-").map((label) => data.classes[label]);
      const button = element("button", { type: "button", tabIndex: -1 }, ...cell.childNodes);
      button.ariaPressed = "false";
      button.ariaLabel = `${truth} predicted as ${predicted}: ${cell.dataset.count} of ${cell.dataset.support}`;
      button.title = button.ariaLabel;
      button.addEventListener("click", () => { focusable(button); show(cell.dataset, truth, predicted); });
      button.addEventListener("keydown", (event) => move(event, cell.dataset.cell));
      cell.append(button);
      return button;
    }

    function focusable(button) {
      for (const other of buttons.values()) other.tabIndex = other === button ? 0 : -1;
    }

    function move(event, key) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      let [row, column] = key.split("-").map(Number);
      do { // skip cells without images
        row += step[0];
        column += step[1];
      } while (data.classes[row] !== undefined && data.classes[column] !== undefined && !buttons.has(`${row}-${column}`));
      const next = buttons.get(`${row}-${column}`);
      if (next) { focusable(next); next.focus(); }
    }

    function show(cell, truth, predicted) {
      for (const [key, button] of buttons) button.ariaPressed = String(key === cell.cell);
      const images = data.cells[cell.cell];
      const title = truth === predicted ? `${truth}, correct` : `${truth} predicted as ${predicted}`;
      const number = (count) => Number(count).toLocaleString("en");
      cellImages.replaceChildren(
        element("h3", {}, title),
        element("p", { className: "muted" }, `${number(cell.count)} of ${number(cell.support)}, ` +
          `${percent(cell.count / cell.support)}; ` +
          `${images.length} of ${number(cell.count)} shown, highest confidence first`),
        element("ul", { className: "tiles" }, ...images.map((image) => tile(image, title))),
      );
      cellImages.scrollIntoView({ block: "nearest" });
    }

    function tile([index, confidence, name], title) {
      const image = element("span", { className: "tile sheet-cells", role: "img", title: name });
      image.ariaLabel = `${name}: ${title}`;
      image.style.setProperty("--x", index % data.columns);
      image.style.setProperty("--y", Math.floor(index / data.columns));
      return element("li", {}, image, element("span", { className: "probability" }, percent(confidence)));
    }
  }

  // Printing opens all details elements, and closes them afterwards.
  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = closed(); opened.forEach((details) => { details.open = true; }); });
  addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
})();
