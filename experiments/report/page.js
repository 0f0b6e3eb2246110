"use strict";

// What can be played with in the report. The page is complete without it.
// The data are in the element #data: data.py makes them.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];

// What is shown. Epoch 0 is the network before its training; epoch k is data.epochs[k - 1].
const state = {
  cells: new Set(),
  metric: 0,
  measure: 0,
  epoch: data.epochs.length,
  layer: 0,
};
data.cells.forEach((cell, k) => cell.shown && state.cells.add(k));

// How numbers become heights, and back, as in the figures: accuracies in % by the log of their errors.
const SCALES = {
  log: [(v) => Math.log(Math.max(v, 1e-30)), Math.exp],
  errors: [(v) => -Math.log(Math.max(101 - v, 0.5)), (h) => 101 - Math.exp(-h)],
};

function ticks(scale, low, high) {
  if (scale === "errors") {
    return ticks("log", Math.max(100 - high, 0.5), 100 - low).map((error) => 100 - error);
  }
  if (high < 2.5 * low) {  // so close together that a linear axis has the rounder numbers
    const size = 10 ** Math.floor(Math.log10((high - low) / 4));
    const step = size * [1, 2, 5, 10].find((s) => (high - low) / (s * size) <= 6);
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step);
  }
  const decades = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high))];
  const all = (digits, every) => {
    const found = [];
    for (let d = decades[0]; d <= decades[1]; d += every) {
      for (const digit of digits) found.push(Number(`${digit}e${d}`));
    }
    return found.filter((v) => v >= low && v <= high);
  };
  const choices = [[[1, 2, 3, 5, 7], 1], [[1, 2, 5], 1], [[1, 3], 1], [[1], 1], [[1], 2], [[1], 3]];
  return choices.map((choice) => all(...choice)).find((found) => found.length <= 7) || all([1], 5);
}

function short(value) {
  const size = Math.abs(value);
  const text = size && (size < 1e-3 || size >= 1e5) ? value.toExponential() : String(+value.toPrecision(3));
  return text.replace("-", "−");  // a true minus
}

function svg(name, attributes = {}, parent = null, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// Draw curves into an element. series: [{cell, mean, half}], a number per x, null where there is none.
function draw(host, { label, xs, xLabel, scale, range, series, at, choose }) {
  const width = Math.max(host.clientWidth, 240), height = width < 520 ? 290 : 350;
  const left = 58, right = width - 12, top = 34, bottom = height - 40;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  host.replaceChildren(root);
  root.classList.toggle("crowded", series.length > 4);
  if (!range) {
    svg("text", { x: left, y: 60 }, root, "Nothing to show: choose some cells.");
    return;
  }
  svg("text", { x: 4, y: 14 }, root, label);
  const [up, down] = SCALES[scale];
  const room = 0.06 * (up(range[1]) - up(range[0])) || 0.1;
  const low = up(range[0]) - room, high = up(range[1]) + room;
  const y = (v) => bottom - ((up(v) - low) / (high - low)) * (bottom - top);
  const inner = xs.length > 1 ? Math.min(24, 200 / xs.length) : (right - left) / 2;
  const x = (k) => left + inner + (k * (right - left - 2 * inner)) / Math.max(xs.length - 1, 1);
  const inside = (v) => Math.min(Math.max(y(v), top - 400), bottom + 400);

  for (const value of ticks(scale, down(low), down(high))) {
    svg("path", { d: `M${left} ${y(value)}H${right}`, class: "grid" }, root);
    svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, root, short(value));
  }
  const every = Math.ceil(xs.length / Math.max(2, Math.floor((right - left) / 48)));
  xs.forEach((name, k) => {
    if (k % every && !(k === xs.length - 1 && k % every > every / 2)) return;
    svg("text", { x: x(k), y: bottom + 18, "text-anchor": "middle" }, root, name);
  });
  svg("path", { d: `M${left} ${bottom}H${right}`, class: "axis" }, root);
  svg("text", { x: right, y: height - 4, "text-anchor": "end" }, root, xLabel);
  const clip = svg("clipPath", { id: `${host.id}-clip` }, svg("defs", {}, root));
  svg("rect", { x: left, y: top - 4, width: right - left, height: bottom - top + 8 }, clip);
  const plot = svg("g", { "clip-path": `url(#${host.id}-clip)` }, root);
  if (at !== null) svg("path", { d: `M${x(at)} ${top}V${bottom}`, class: "cursor" }, plot);

  for (const { cell, mean, half } of series) {
    const known = mean.map((v, k) => [v, k]).filter(([v]) => v !== null && (scale !== "log" || v > 0));
    const banded = known.filter(([, k]) => half[k] !== null);
    const edge = (sign) => banded.map(([v, k]) => `${x(k)} ${inside(v + sign * half[k])}`);
    const style = `stroke:${cell.color};stroke-dasharray:${cell.dash}`;
    const group = svg("g", { class: "series", "data-cell": cell.name }, plot);
    if (banded.length > 1) {
      const outline = [...edge(1), ...edge(-1).reverse()].join("L");
      svg("path", { d: `M${outline}Z`, class: "band", style: `fill:${cell.color}` }, group);
    }
    if (known.length) {
      const points = known.map(([v, k]) => `${x(k)} ${inside(v)}`);
      svg("path", { d: `M${points.join("L")}`, class: "curve", style }, group);
    }
    const gap = Math.ceil(xs.length / 12);
    for (const [v, k] of known) {
      const place = { transform: `translate(${x(k)} ${inside(v)})`, style: `fill:${cell.color}` };
      if (cell.marker && k % gap === 0) svg("path", { d: cell.marker, ...place }, group);
      else if (k === at || xs.length < 3) svg("circle", { r: 4, ...place }, group);
    }
  }

  root.onpointermove = root.onpointerdown = (event) => {
    const box = root.getBoundingClientRect();
    const pixel = ((event.clientX - box.left) * width) / box.width;
    const share = (pixel - left - inner) / (right - left - 2 * inner || 1);
    choose(Math.min(xs.length - 1, Math.max(0, Math.round(share * (xs.length - 1)))));
  };
}

// Write the values at one x below the chart, the highest first.
function readOut(host, title, at, series, format) {
  host.replaceChildren();
  if (at === null) return;
  host.append(Object.assign(document.createElement("b"), { textContent: title }));
  const known = series.filter(({ mean }) => mean[at] !== null && mean[at] !== undefined);
  known.sort((a, b) => b.mean[at] - a.mean[at]);
  for (const { cell, mean, half, swatch } of known) {
    const entry = document.createElement("span");
    const interval = half[at] === null ? "" : ` ± ${format(half[at])}`;
    const value = document.createElement("strong");
    value.textContent = format(mean[at]);
    entry.append(swatch.cloneNode(true), ` ${cell.name} `, value, interval);
    host.append(entry);
  }
  if (!known.length) host.append(" no values");
}

// Smallest and largest mean, of what a log axis can show, up to a ceiling.
function rangeOf(rows, scale, ceiling) {
  const values = rows.flat().filter((v) => v !== null && (scale !== "log" || v > 0));
  if (!values.length) return null;
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  return [low, ceiling === null ? high : Math.max(low, Math.min(high, ceiling))];
}

function drawCurves(shown) {
  const metric = data.metrics[state.metric];
  const series = shown.map((entry) => ({ ...entry, ...entry.cell.curves[state.metric] }));
  const at = state.epoch > 0 ? state.epoch - 1 : null;
  draw($("#curves"), {
    ...metric, xs: data.epochs, xLabel: "epoch", series, at,
    range: rangeOf(series.map((s) => s.mean), metric.scale, metric.ceiling),
    choose: (k) => set({ epoch: k + 1 }),
  });
  $("#curves").setAttribute("aria-label", `${metric.label}; arrow keys read the values`);
  readOut($("#curves-values"), `epoch ${data.epochs[at]}`, at, series, (v) => v.toFixed(metric.digits));
}

function drawFlow(shown) {
  const label = data.measures[state.measure];
  const column = (rows, k) => data.layers.map((_, layer) => rows[layer]?.[k] ?? null);
  const series = shown.map((entry) => {
    const { mean, half } = entry.cell.flows[state.measure];
    return { ...entry, mean: column(mean, state.epoch), half: column(half, state.epoch) };
  });
  // The same axis in all epochs: otherwise nothing would be seen to move.
  const range = rangeOf(shown.flatMap(({ cell }) => cell.flows[state.measure].mean), "log", null);
  draw($("#flow"), {
    label, xs: data.layers, xLabel: "layer", scale: "log", range, series, at: state.layer,
    choose: (k) => set({ layer: k }),
  });
  $("#flow").setAttribute("aria-label", `${label}; arrow keys read the values of a layer`);
  const name = state.epoch ? String(data.epochs[state.epoch - 1]) : "0, before training";
  const title = `${data.layers[state.layer]}, epoch ${name}`;
  readOut($("#flow-values"), title, state.layer, series, (v) => v.toExponential(1).replace("-", "−"));
  $("#epoch").value = state.epoch;
  $("#epoch").setAttribute("aria-valuetext", `epoch ${name}`);
  $("#epoch-value").textContent = name;
}

function render() {
  const shown = [...state.cells].sort((a, b) => a - b).map((k) => ({
    cell: data.cells[k], swatch: $(`#picker input[value="${k}"] + svg`),
  }));
  drawCurves(shown);
  drawFlow(shown);
}

function set(change) {
  if (Object.entries(change).every(([key, value]) => state[key] === value)) return;
  Object.assign(state, change);
  render();
}

// Arrow keys, Home and End move along the x axis of a chart that has the focus.
function steer(host, key, first, last) {
  host.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: state[key] - 1, ArrowRight: state[key] + 1, Home: first(), End: last() };
    if (!(event.key in steps)) return;
    event.preventDefault();
    set({ [key]: Math.min(last(), Math.max(first(), steps[event.key])) });
  });
}

function startExplorer() {
  $$("#explore, nav a[href='#explore']").forEach((part) => (part.hidden = false));
  const boxes = $$("#picker input");
  const pick = (box) => state.cells[box.checked ? "add" : "delete"](Number(box.value));
  boxes.forEach((box) => {
    box.checked = state.cells.has(Number(box.value));
    box.addEventListener("change", () => { pick(box); render(); });
  });
  $$("[data-pick]").forEach((button) => button.addEventListener("click", () => {
    boxes.forEach((box) => {
      box.checked = button.dataset.pick === "first" && Boolean(data.cells[box.value].shown);
      pick(box);
    });
    render();
  }));
  for (const key of ["metric", "measure"]) {
    $$(`input[name=${key}]`).forEach((radio) => {
      radio.checked = Number(radio.value) === state[key];
      radio.addEventListener("change", () => set({ [key]: Number(radio.value) }));
    });
  }
  const last = data.epochs.length;
  $("#epoch").max = last;
  $("#epoch").addEventListener("input", () => set({ epoch: Number($("#epoch").value) }));
  steer($("#curves"), "epoch", () => 1, () => last);
  steer($("#flow"), "layer", () => 0, () => data.layers.length - 1);

  let timer = null;
  const pause = () => { clearInterval(timer); timer = null; $("#play").textContent = "Play"; };
  $("#play").addEventListener("click", () => {
    if (timer) return pause();
    if (state.epoch === last) set({ epoch: 0 });
    $("#play").textContent = "Pause";
    timer = setInterval(() => {
      set({ epoch: Math.min(last, state.epoch + 1) });
      if (state.epoch === last) pause();
    }, 350);
  });
  render();
  new ResizeObserver(render).observe($("#curves"));
}

function startTables() {
  const order = new Intl.Collator("en", { numeric: true }).compare;
  for (const table of $$("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows];
        const numeric = rows.some((row) => row.cells[column].dataset.value);
        const key = (row) => {
          const { dataset, textContent } = row.cells[column];
          return numeric ? (dataset.value ? Number(dataset.value) : null) : textContent.trim();
        };
        rows.sort((a, b) => {
          const [u, v] = [key(a), key(b)];
          if (u === null || v === null) return (u === null) - (v === null);  // no number: last
          return (down ? -1 : 1) * (numeric ? u - v : order(u, v));
        });
        body.append(...rows);
      });
    });
  }
}

function startMistakes() {
  const select = $("#mistaken");
  if (!select) return;
  select.closest(".chooser").hidden = false;
  select.addEventListener("change", () => {
    const cell = data.cells[select.value];
    $("#whose").textContent = cell.name;
    [...$("#matrix").tBodies[0].rows].forEach((row, i) => {
      [...row.cells].slice(1).forEach((field, j) => {
        const share = cell.confusion[i][j];
        field.textContent = Math.round(share) || "";
        field.style.setProperty("--share", share / 100);
        field.classList.toggle("full", share >= 50);
      });
    });
    $("#wrong").replaceChildren(...cell.wrong.map((wrong) => wrongImage(cell, wrong)));
  });
}

function wrongImage(cell, [row, label, predicted, probability, seeds]) {
  const make = (name, content = {}) => Object.assign(document.createElement(name), content);
  const figure = make("figure"), caption = make("figcaption");
  const alt = `test image ${row}: ${data.classes[label]}`;
  const src = `data:image/png;base64,${data.images[row]}`;
  const whose = cell.seeds > 1 ? `${seeds} of ${cell.seeds} seeds` : `image ${row}`;
  caption.append(
    make("b", { textContent: data.classes[predicted] }), ` ${(100 * probability).toFixed(1)} %`,
    make("br"), `is: ${data.classes[label]}`, make("br"), make("small", { textContent: whose }),
  );
  figure.append(make("img", { src, alt, width: 84, height: 84 }), caption);
  return figure;
}

function startCopy() {
  const button = $("#copy"), command = $("#command");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {  // not allowed here: select it, so that the keyboard can copy it
      getSelection().selectAllChildren(command);
      button.textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2500);
  });
}

function startPrinting() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = $$("details:not([open])");
    opened.forEach((part) => (part.open = true));
  });
  addEventListener("afterprint", () => opened.forEach((part) => (part.open = false)));
}

// Boxes that scroll can be focused, but only if there is anything to scroll. Where there is more to
// the right or below, that edge fades (page.css).
function startScrollers() {
  const look = (box) => {
    const right = box.scrollWidth - box.clientWidth, below = box.scrollHeight - box.clientHeight;
    if (box.classList.contains("scroll")) box.tabIndex = right > 0 || below > 0 ? 0 : -1;
    box.classList.toggle("more-right", right - box.scrollLeft > 1);
    box.classList.toggle("more-below", below - box.scrollTop > 1);
  };
  const watch = new ResizeObserver((entries) => entries.forEach(({ target }) => look(target)));
  $$(".scroll, nav, #picker .boxes").forEach((box) => {
    watch.observe(box);
    box.addEventListener("scroll", () => look(box), { passive: true });
  });
}

startExplorer();
startScrollers();
startTables();
startMistakes();
startCopy();
startPrinting();
