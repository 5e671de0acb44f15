// What a page can do more with a script; without one it can be read all the same.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // not allowed here: selected, it takes one key
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Tables that sort by a column: largest first, then smallest; names the other way round.
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

  // The confusion matrix: cells that have pictures become buttons; one of them is a stop of the tabulator.
  const gallery = document.querySelector(".gallery");
  if (gallery) {
    document.querySelector(".hint").hidden = false;
    const cells = [...document.querySelectorAll("td[data-cell]")].filter((cell) => data.cells[cell.dataset.cell]);
    const buttons = new Map(cells.map((cell) => [cell.dataset.cell, asButton(cell)]));
    if (cells.length) stop(buttons.get(cells[0].dataset.cell));

    function asButton(cell) {
      const [truth, guess] = cell.dataset.cell.split("-").map((label) => data.classes[label]);
      const button = element("button", { type: "button", tabIndex: -1 }, ...cell.childNodes);
      button.ariaPressed = "false";
      button.ariaLabel = `${truth} taken for ${guess}: ${cell.dataset.count} of ${cell.dataset.support}`;
      button.title = button.ariaLabel;
      button.addEventListener("click", () => { stop(button); show(cell.dataset, truth, guess); });
      button.addEventListener("keydown", (event) => move(event, cell.dataset.cell));
      cell.append(button);
      return button;
    }

    function stop(button) {
      for (const other of buttons.values()) other.tabIndex = other === button ? 0 : -1;
    }

    function move(event, key) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      let [row, column] = key.split("-").map(Number);
      do { // over cells that have no pictures
        row += step[0];
        column += step[1];
      } while (data.classes[row] !== undefined && data.classes[column] !== undefined && !buttons.has(`${row}-${column}`));
      const next = buttons.get(`${row}-${column}`);
      if (next) { stop(next); next.focus(); }
    }

    function show(cell, truth, guess) {
      for (const [key, button] of buttons) button.ariaPressed = String(key === cell.cell);
      const pictures = data.cells[cell.cell], right = truth === guess;
      const what = right ? `${truth}, recognised` : `${truth} taken for ${guess}`;
      const share = percent(cell.count / cell.support);
      const number = (count) => Number(count).toLocaleString("en");
      gallery.replaceChildren(
        element("h3", {}, what),
        element("p", { className: "quiet" }, `${number(cell.count)} of ${number(cell.support)}, ${share}; ` +
          `${pictures.length} of ${number(cell.count)} shown, the surest first`),
        element("ul", { className: "tiles" }, ...pictures.map((picture) => tile(picture, what))),
      );
      gallery.scrollIntoView({ block: "nearest" });
    }

    function tile([place, probability, name], what) {
      const picture = element("span", { className: "tile sheet-cells", role: "img", title: name });
      picture.ariaLabel = `${name}: ${what}`;
      picture.style.setProperty("--x", place % data.columns);
      picture.style.setProperty("--y", Math.floor(place / data.columns));
      return element("li", {}, picture, element("span", { className: "probability" }, percent(probability)));
    }
  }

  // On paper everything is open, and afterwards as it was.
  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = closed(); opened.forEach((part) => { part.open = true; }); });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
