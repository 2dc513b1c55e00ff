"use strict";
(() => {
  const view = document.getElementById("view"), svg = document.getElementById("picture");
  const full = {x: 0, y: 0, w: +svg.dataset.width, h: +svg.dataset.height};
  let box = {...full};
  const show = () => svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
  const scale = () => Math.max(box.w / view.clientWidth, box.h / view.clientHeight);
  const zoom = (factor, cx, cy) => {
    const w = Math.min(Math.max(box.w * factor, 80), full.w * 4), f = w / box.w;
    box = {x: cx - (cx - box.x) * f, y: cy - (cy - box.y) * f, w, h: box.h * f};
    show();
  };
  const centre = () => [box.x + box.w / 2, box.y + box.h / 2];
  let drag = null;
  view.addEventListener("pointerdown", e => { drag = {x: e.clientX, y: e.clientY, box: {...box}}; view.setPointerCapture(e.pointerId); });
  view.addEventListener("pointermove", e => {
    if (!drag) return;
    const s = scale();
    box = {...drag.box, x: drag.box.x - (e.clientX - drag.x) * s, y: drag.box.y - (e.clientY - drag.y) * s};
    show();
  });
  view.addEventListener("pointerup", () => { drag = null; });
  view.addEventListener("wheel", e => {
    e.preventDefault();
    const r = view.getBoundingClientRect();
    zoom(e.deltaY > 0 ? 1.2 : 1 / 1.2, box.x + (e.clientX - r.left) / r.width * box.w, box.y + (e.clientY - r.top) / r.height * box.h);
  }, {passive: false});
  view.addEventListener("keydown", e => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key];
    if (step) { box = {...box, x: box.x + step[0] * box.w / 8, y: box.y + step[1] * box.h / 8}; show(); }
    else if (e.key === "+") zoom(1 / 1.2, ...centre());
    else if (e.key === "-") zoom(1.2, ...centre());
    else if (e.key === "0") { box = {...full}; show(); }
    else return;
    e.preventDefault();
  });
  const nodes = [...svg.querySelectorAll(".node")], edges = [...svg.querySelectorAll(".edge")];
  const goTo = node => {
    const b = node.getBBox();
    box = {x: b.x + b.width / 2 - 400, y: b.y + b.height / 2 - 250, w: 800, h: 500};
    show();
  };
  const light = n => {
    const near = new Set([n]);
    for (const e of edges) {
      const on = e.dataset.o === n || e.dataset.y === n;
      e.classList.toggle("dim", n !== null && !on);
      if (on) { near.add(e.dataset.o); near.add(e.dataset.y); }
    }
    for (const node of nodes) node.classList.toggle("dim", n !== null && !near.has(node.dataset.n));
  };
  let lit = null;
  for (const node of nodes) node.addEventListener("click", () => { lit = lit === node.dataset.n ? null : node.dataset.n; light(lit); });
  for (const button of document.querySelectorAll("td button"))
    button.addEventListener("click", () => goTo(nodes[+button.closest("tr").dataset.n]));
  const find = document.getElementById("find"), found = document.getElementById("found");
  find.addEventListener("input", () => {
    const text = find.value.trim().toLowerCase();
    const hits = nodes.filter(node => {
      const hit = text !== "" && node.querySelector("title").textContent.toLowerCase().includes(text);
      node.classList.toggle("hit", hit);
      return hit;
    });
    found.textContent = text === "" ? "" : `${hits.length} found`;
    if (hits.length > 0) goTo(hits[0]);
  });
  document.documentElement.dataset.ready = String(nodes.length);
})();
