// The live picture of an instance: figures, charts and hot commands, from server-sent events.
"use strict";

(() => {
  const SPAN = 120; // seconds that the charts show
  const MOST = 240; // points kept
  const HEIGHT = 190; // pixels
  const PAD = { left: 58, right: 10, top: 10, bottom: 24 };
  const SVG = "http://www.w3.org/2000/svg";

  const section = document.getElementById("live");
  if (!section || !section.dataset.events) {
    return;
  }
  const byId = (id) => document.getElementById(id);
  let points = [];
  let source = null;
  let again = null; // when it is tried again
  let patience = 5; // seconds

  // --- words

  const rate = (n) => {
    if (n >= 1e6) return (n / 1e6).toFixed(n >= 1e7 ? 0 : 1) + "M";
    if (n >= 1e4) return (n / 1e3).toFixed(n >= 1e5 ? 0 : 1) + "k";
    if (n >= 10 || Number.isInteger(n)) return Math.round(n).toLocaleString("en");
    return n.toFixed(1);
  };
  const duration = (s) => {
    if (s === null || s === undefined) return "–";
    if (s < 0.001) return Math.round(s * 1e6) + " µs";
    if (s < 1) return +(s * 1e3).toPrecision(s < 0.1 ? 2 : 3) + " ms";
    return +s.toPrecision(2) + " s";
  };
  const links = (p) => p.links.shared + p.links.pinned + p.links.subscriber;

  // --- charts

  const charts = [
    { id: "commands", unit: rate, least: 4, lines: [{ name: "commands", of: (p) => p.commands_per_second, tone: "a", area: true }] },
    { id: "latency", unit: duration, least: 0.0002, lines: [
      { name: "99 % within", of: (p) => p.p99_seconds, tone: "b" },
      { name: "half within", of: (p) => p.p50_seconds, tone: "a" }] },
    { id: "errors", unit: rate, least: 4, lines: [
      { name: "errors", of: (p) => p.errors_per_second, tone: "bad" },
      { name: "limited", of: (p) => p.limited_per_second, tone: "warn" }] },
    { id: "connections", unit: rate, least: 4, whole: true, lines: [
      { name: "clients", of: (p) => p.clients, tone: "a" },
      { name: "to the Redis", of: links, tone: "b" }] },
  ];

  const make = (name, attributes, parent) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) {
      element.setAttribute(key, value);
    }
    parent.append(element);
    return element;
  };

  // scale returns the top of an axis and the distance of its marks: 1, 2 or 5 times a power
  // of ten, so that there are three to five of them.
  const scale = (most, least, whole) => {
    const wanted = Math.max(most, least) / 4;
    const power = 10 ** Math.floor(Math.log10(wanted));
    let step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= wanted * 0.999);
    if (whole) step = Math.max(1, step);
    return { top: step * Math.ceil(Math.max(most, least) / step - 1e-9), step };
  };

  const x = (chart, age) => PAD.left + (1 - age / SPAN) * (chart.width - PAD.left - PAD.right);

  const prepare = (chart) => {
    chart.svg = byId("chart-" + chart.id);
    chart.grid = make("g", { class: "grid" }, chart.svg);
    for (const line of chart.lines) {
      if (line.area) line.fill = make("path", { class: "area " + line.tone }, chart.svg);
      line.path = make("path", { class: "line " + line.tone }, chart.svg);
    }
    chart.cursor = make("line", { class: "cursor", y1: PAD.top, y2: HEIGHT - PAD.bottom, visibility: "hidden" }, chart.svg);
    const legend = document.createElement("p");
    legend.className = "legend";
    for (const line of chart.lines) {
      const item = document.createElement("span");
      const mark = document.createElement("i");
      mark.className = line.tone;
      line.value = document.createElement("b");
      item.append(mark, line.name + " ", line.value);
      legend.append(item);
    }
    chart.svg.after(legend);
    chart.svg.addEventListener("pointermove", (event) => {
      const box = chart.svg.getBoundingClientRect();
      chart.at = event.clientX - box.left;
      draw(chart);
    });
    chart.svg.addEventListener("pointerleave", () => {
      chart.at = null;
      draw(chart);
    });
  };

  const drawGrid = (chart, top, step, y) => {
    chart.grid.replaceChildren();
    for (let value = 0; value <= top * 1.001; value += step) {
      make("line", { x1: PAD.left, x2: chart.width - PAD.right, y1: y(value), y2: y(value) }, chart.grid);
      make("text", { x: PAD.left - 8, y: y(value) + 4, "text-anchor": "end" }, chart.grid).textContent = value === 0 ? "0" : chart.unit(+value.toPrecision(6));
    }
    for (const [age, words] of [[120, "2 min ago"], [60, "1 min ago"], [0, "now"]]) {
      make("text", { x: x(chart, age), y: HEIGHT - 6, "text-anchor": age === 120 ? "start" : age === 0 ? "end" : "middle" }, chart.grid).textContent = words;
    }
  };

  const draw = (chart) => {
    chart.width = chart.svg.clientWidth;
    if (points.length === 0 || chart.width === 0) return;
    const now = points[points.length - 1].time;
    const shown = points.filter((p) => now - p.time <= SPAN * 1000);
    const most = Math.max(0, ...shown.flatMap((p) => chart.lines.map((line) => line.of(p) ?? 0)));
    const { top, step } = scale(most, chart.least, chart.whole);
    const y = (value) => PAD.top + (1 - value / top) * (HEIGHT - PAD.top - PAD.bottom);
    drawGrid(chart, top, step, y);
    const position = (p) => x(chart, (now - p.time) / 1000);
    for (const line of chart.lines) {
      let path = "", begun = null, last = null;
      for (const p of shown) {
        const value = line.of(p);
        if (value === null || value === undefined) {
          continue; // nothing was answered: the line goes on where something is
        }
        path += (begun === null ? "M" : "L") + position(p).toFixed(1) + " " + y(value).toFixed(1);
        begun ??= position(p);
        last = position(p);
      }
      line.path.setAttribute("d", path);
      line.fill?.setAttribute("d", path ? `${path}L${last.toFixed(1)} ${y(0)}L${begun.toFixed(1)} ${y(0)}Z` : "");
    }
    mark(chart, shown, position);
  };

  // mark shows the values of the moment under the pointer, else the newest.
  const mark = (chart, shown, position) => {
    let at = shown[shown.length - 1];
    const pointed = chart.at !== null && chart.at !== undefined;
    if (pointed) {
      at = shown.reduce((best, p) => Math.abs(position(p) - chart.at) < Math.abs(position(best) - chart.at) ? p : best);
      chart.cursor.setAttribute("x1", position(at));
      chart.cursor.setAttribute("x2", position(at));
    }
    chart.cursor.setAttribute("visibility", pointed ? "visible" : "hidden");
    for (const line of chart.lines) {
      const value = line.of(at);
      line.value.textContent = value === null || value === undefined ? "–" : chart.unit(value);
    }
  };

  // --- figures

  const figures = (p) => {
    byId("now-commands").textContent = rate(p.commands_per_second);
    byId("now-p50").textContent = duration(p.p50_seconds);
    byId("now-p99").textContent = duration(p.p99_seconds);
    byId("now-errors").textContent = rate(p.errors_per_second);
    byId("now-limited").textContent = rate(p.limited_per_second);
    byId("now-clients").textContent = rate(p.clients);
  };

  const hot = (commands) => {
    const rows = commands.filter((c) => c.per_second > 0).map((c) => {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      const code = document.createElement("code");
      code.textContent = c.command;
      name.append(code);
      const share = document.createElement("td");
      const bar = document.createElement("meter");
      bar.max = commands[0].per_second;
      bar.value = c.per_second;
      bar.setAttribute("aria-label", c.command);
      share.append(bar);
      const value = document.createElement("td");
      value.textContent = rate(c.per_second) + " /s";
      row.append(name, share, value);
      return row;
    });
    byId("hot").replaceChildren(...rows);
    byId("hot-none").textContent = rows.length ? "" : "No command in the last second.";
  };

  const state = (tone, words) => {
    const said = byId("live-state").firstElementChild;
    if (said.textContent !== words) {
      said.className = "status " + tone;
      said.textContent = words;
    }
  };

  // --- events

  const take = (picture) => {
    const newest = points.length ? points[points.length - 1].time : 0;
    for (const p of picture.points) {
      p.time = Date.parse(p.at);
      if (p.time > newest) points.push(p);
    }
    points = points.slice(-MOST);
    byId("charts").hidden = false;
    figures(points[points.length - 1]);
    hot(picture.hot_commands);
    charts.forEach(draw);
    state("ok", "Live");
    patience = 5;
  };

  const open = () => {
    if (source) return;
    state("dim", points.length ? "Connecting again" : "Connecting");
    source = new EventSource(section.dataset.events);
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        close();
        state("bad", "Stopped: reload the page");
        again = setTimeout(open, patience * 1000);
        patience = Math.min(60, 2 * patience);
        return;
      }
      state("warn", "Connecting again");
    };
  };
  const close = () => {
    clearTimeout(again);
    source?.close();
    source = null;
  };

  charts.forEach(prepare);
  new ResizeObserver(() => charts.forEach(draw)).observe(byId("charts"));
  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", () => { if (!document.hidden) open(); });
})();
