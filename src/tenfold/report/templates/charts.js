"use strict";
// Tooltips of charts, by pointer and by arrow keys. The coordinates of all points come with the page.
document.querySelectorAll(".chart").forEach((chart) => {
  const series = JSON.parse(chart.querySelector("script").textContent);
  const svg = chart.querySelector(".canvas > svg");
  const tooltip = chart.querySelector(".tooltip");
  const highlights = ["polyline", "circle"].map((shape) => svg.appendChild(document.createElementNS(svg.namespaceURI, shape)));
  const [line, dot] = highlights;
  highlights.forEach((shape) => shape.setAttribute("class", "highlight"));
  dot.setAttribute("r", 6);
  const overlay = "overlay" in chart.dataset;  // many lines of one color: highlight the line under the pointer
  let current = null;  // [series, point]

  function nearest(x, y, candidates) {
    let best = null, least = Infinity;
    candidates.forEach((s) => series[s].points.forEach(([px, py], p) => {
      const distance = (px - x) ** 2 + ((py - y) * 0.7) ** 2;  // horizontal distance counts more, as lines run horizontally
      if (distance < least) [best, least] = [[s, p], distance];
    }));
    return best;
  }

  function show(found) {
    current = found;
    if (!current) return;
    const { name, color, points } = series[current[0]];
    const [x, y, text] = points[current[1]];
    highlights.forEach((shape) => { shape.style.display = ""; shape.style.stroke = `var(--${color})`; });
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    line.setAttribute("points", overlay ? points.map((point) => `${point[0]},${point[1]}`).join(" ") : "");
    tooltip.hidden = false;
    tooltip.replaceChildren(Object.assign(document.createElement("b"), { textContent: name }), text);
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const left = x * scale + 14 + tooltip.offsetWidth > box.width ? x * scale - 14 - tooltip.offsetWidth : x * scale + 14;
    tooltip.style.left = `${Math.max(0, left)}px`;
    tooltip.style.top = `${y * scale - tooltip.offsetHeight - 10}px`;
  }

  function hide() {
    highlights.forEach((shape) => { shape.style.display = "none"; });
    tooltip.hidden = true;
  }

  function step(key) {
    const all = series.map((_, s) => s).filter((s) => series[s].points.length);
    if (!all.length) return null;
    if (!current) return [all[0], 0];
    const [s, p] = current, last = series[s].points.length - 1;
    if (key === "Home") return [s, 0];
    if (key === "End") return [s, last];
    if (key === "ArrowLeft" || key === "ArrowRight") return [s, Math.min(last, Math.max(0, p + (key === "ArrowLeft" ? -1 : 1)))];
    const next = all[(all.indexOf(s) + (key === "ArrowUp" ? all.length - 1 : 1)) % all.length];
    return nearest(...series[s].points[p].slice(0, 2), [next]);
  }

  ["pointermove", "pointerdown"].forEach((kind) => svg.addEventListener(kind, (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    show(nearest(point.x, point.y, series.map((_, s) => s)));
  }));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) show(current || step("Home")); });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    show(step(event.key));
  });
  hide();
});
