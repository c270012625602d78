// A scatter plot of two metrics, divided at their medians. A lasso or a box selects a region, a click a case; the server
// is called once, when the pointer is released. Selected points are filled, others hollow, also without colour.

const PAD = { left: 46, right: 10, top: 10, bottom: 34 };
const CLICK = 4; // CSS pixels: a shorter drag is a click on a point
const NEAR = 9; // CSS pixels around a point that count as a click on it
const CORNERS = 24; // of a lasso: each is sent to the server

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const round = (value) => Number(value.toPrecision(4));

// [value, name] of a few round values of an axis.
function ticks({ low, high }) {
  const raw = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((times) => times * power >= raw) * power;
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: count }, (_, place) => (first + place) * step).map((value) => [value, value.toFixed(digits)]);
}

class Quadrant {
  constructor(root) {
    this.root = root;
    this.mode = "lasso";
    this.trail = null;
    this.canvas = element("canvas");
    this.canvas.setAttribute("role", "img");
    this.tools = element("div", "tools");
    this.names = element("div", "names");
    root.replaceChildren(this.tools, this.canvas, this.names, element("div", "hint",
      "Drag to choose a region, click a point to see its case. Filled points are selected, hollow ones are not; lines are medians."));
    this.bind();
    new ResizeObserver(() => this.data && this.draw()).observe(root);
  }

  take(data, send) {
    this.send = send;
    const found = JSON.stringify(data);
    if (found === this.found) return;
    this.found = found;
    this.data = data;
    this.buildTools();
    this.buildNames();
    this.draw();
  }

  buildTools() {
    const modes = [["lasso", "Lasso"], ["box", "Box"]].map(([mode, name]) => {
      const made = element("button", mode, name);
      made.type = "button";
      made.setAttribute("aria-pressed", String(this.mode === mode));
      made.onclick = () => {
        this.mode = mode;
        this.buildTools();
      };
      return made;
    });
    const clear = element("button", "clear", "Clear the region");
    clear.type = "button";
    clear.disabled = !this.data.corners && !this.data.box;
    clear.onclick = () => this.send({ kind: "clear" });
    this.tools.replaceChildren(...modes, clear);
  }

  buildNames() {
    this.names.replaceChildren(...this.data.quadrants.map((quadrant) => {
      const made = element("button", "", `${quadrant.name}: ${quadrant.cases.toLocaleString("en")}`);
      made.type = "button";
      made.title = quadrant.meaning;
      made.disabled = quadrant.cases === 0;
      made.onclick = () => this.send({ kind: "box", box: quadrant.box });
      return made;
    }));
  }

  // Places

  size() {
    return [this.root.clientWidth || 420, 300];
  }

  frame() {
    const [width, height] = this.size();
    return [width - PAD.left - PAD.right, height - PAD.top - PAD.bottom];
  }

  at(x, y) {
    const { data } = this;
    const [width, height] = this.frame();
    return [
      PAD.left + (width * (x - data.x.low)) / (data.x.high - data.x.low),
      PAD.top + height * (1 - (y - data.y.low) / (data.y.high - data.y.low)),
    ];
  }

  values([px, py]) {
    const { data } = this;
    const [width, height] = this.frame();
    return [
      data.x.low + ((px - PAD.left) / width) * (data.x.high - data.x.low),
      data.y.low + (1 - (py - PAD.top) / height) * (data.y.high - data.y.low),
    ];
  }

  // Drawing

  draw() {
    const [width, height] = this.size();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.root);
    this.ink = style.getPropertyValue("--st-text-color") || "#222";
    this.colour = style.getPropertyValue("--st-primary-color") || "#0072B2";
    context.font = `12px ${style.getPropertyValue("--st-font") || "sans-serif"}`;
    this.drawAxes(context);
    this.drawPoints(context);
    if (this.data.box) this.outline(context, this.boxCorners(this.data.box));
    if (this.data.corners) this.outline(context, this.data.corners.map(([x, y]) => this.at(x, y)));
    if (this.trail) this.outline(context, this.trail);
    this.describe();
  }

  boxCorners([x0, x1, y0, y1]) {
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(([x, y]) => this.at(x, y));
  }

  drawAxes(context) {
    const { data } = this;
    const [width, height] = this.frame();
    context.strokeStyle = this.ink;
    context.fillStyle = this.ink;
    context.globalAlpha = 0.35;
    context.strokeRect(PAD.left, PAD.top, width, height);
    context.setLineDash([5, 4]);
    const [mx, my] = this.at(data.x.middle, data.y.middle);
    this.line(context, mx, PAD.top, mx, PAD.top + height);
    this.line(context, PAD.left, my, PAD.left + width, my);
    context.setLineDash([]);
    context.globalAlpha = 0.9;
    context.textAlign = "center";
    for (const [value, name] of ticks(data.x)) context.fillText(name, this.at(value, 0)[0], PAD.top + height + 14);
    context.textAlign = "right";
    for (const [value, name] of ticks(data.y)) context.fillText(name, PAD.left - 5, this.at(0, value)[1] + 4);
    context.textAlign = "center";
    context.fillText(data.x.title, PAD.left + width / 2, PAD.top + height + 29);
    context.save();
    context.translate(11, PAD.top + height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(data.y.title, 0, 0);
    context.restore();
    context.globalAlpha = 1;
  }

  line(context, x0, y0, x1, y1) {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  drawPoints(context) {
    const { points, chosen } = this.data;
    for (const selected of [0, 1]) {
      context.globalAlpha = selected ? 0.6 : 0.3;
      context.strokeStyle = context.fillStyle = selected ? this.colour : this.ink;
      points.id.forEach((_, place) => {
        if (points.selected[place] !== selected) return;
        context.beginPath();
        context.arc(...this.at(points.x[place], points.y[place]), selected ? 2.6 : 2.2, 0, 7);
        if (selected) context.fill();
        else context.stroke();
      });
    }
    context.globalAlpha = 1;
    const place = points.id.indexOf(chosen);
    if (place < 0) return;
    context.lineWidth = 2.5;
    context.strokeStyle = this.ink;
    context.beginPath();
    context.arc(...this.at(points.x[place], points.y[place]), 7, 0, 7);
    context.stroke();
    context.lineWidth = 1;
  }

  outline(context, corners) {
    context.beginPath();
    corners.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.strokeStyle = context.fillStyle = this.colour;
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.stroke();
    context.lineWidth = 1;
  }

  describe() {
    const { data } = this;
    const picked = data.points.selected.reduce((sum, selected) => sum + selected, 0);
    this.canvas.setAttribute("aria-label",
      `${data.y.title} vs. ${data.x.title}: ${data.points.id.length} cases drawn, ${picked} of them selected`);
  }

  // Acting

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = this.frame();
    return [
      Math.min(Math.max(event.clientX - box.left, PAD.left), PAD.left + width),
      Math.min(Math.max(event.clientY - box.top, PAD.top), PAD.top + height),
    ];
  }

  bind() {
    let start = null;
    let path = [];
    this.canvas.onpointerdown = (event) => {
      start = this.place(event);
      path = [start];
      this.canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    };
    this.canvas.onpointermove = (event) => {
      if (!start) return;
      const here = this.place(event);
      const last = path[path.length - 1];
      if (Math.hypot(here[0] - last[0], here[1] - last[1]) >= 3) path.push(here);
      this.trail = this.mode === "lasso" ? path : [start, [here[0], start[1]], here, [start[0], here[1]]];
      this.draw();
    };
    this.canvas.onpointerup = (event) => {
      if (!start) return;
      const here = this.place(event);
      const reach = Math.max(...path.map(([x, y]) => Math.hypot(x - start[0], y - start[1])), 0);
      const [from, corners] = [start, path];
      start = this.trail = null;
      this.draw();
      if (reach < CLICK) this.pick(here);
      else if (this.mode === "box") this.sendBox(from, here);
      else if (corners.length > 2) this.sendLasso(corners);
    };
    this.canvas.onpointercancel = () => {
      start = this.trail = null;
      this.draw();
    };
  }

  sendBox(from, to) {
    const [a, b] = [this.values(from), this.values(to)];
    const ends = (axis) => [a[axis], b[axis]].sort((one, other) => one - other).map(round);
    this.send({ kind: "box", box: [...ends(0), ...ends(1)] });
  }

  sendLasso(path) {
    const every = Math.max(1, path.length / CORNERS);
    const kept = Array.from({ length: Math.min(CORNERS, path.length) }, (_, place) => path[Math.floor(place * every)]);
    this.send({ kind: "lasso", corners: kept.map((corner) => this.values(corner).map(round)) });
  }

  pick([px, py]) {
    const { points } = this.data;
    let [nearest, least] = [-1, NEAR];
    points.id.forEach((_, place) => {
      const [x, y] = this.at(points.x[place], points.y[place]);
      const distance = Math.hypot(x - px, y - py);
      if (distance < least) [nearest, least] = [place, distance];
    });
    if (nearest >= 0) this.send({ kind: "case", id: points.id[nearest] });
  }
}

const drawn = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".quadrant");
  if (!drawn.has(root)) drawn.set(root, new Quadrant(root));
  drawn.get(root).take(data, (region) => setTriggerValue("acted", region));
}
