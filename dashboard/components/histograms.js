// One histogram per metric. Dragging selects a range; the server is called once, when the pointer is released.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 56;
const NARROW = 0.1; // width of a range that needs more than two decimals
const CLICK = 4; // CSS pixels: a shorter drag is a click, which removes the range

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shape(tag, className, attributes) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", className);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

// Small bins stay visible: a bar of one case among thousands would be less than a pixel.
function bars(counts, most, className) {
  const step = WIDTH / counts.length;
  return counts.flatMap((count, bin) => {
    if (!count) return [];
    const height = Math.max(1.5, (HEIGHT * count) / most);
    return shape("rect", className, { x: bin * step + 0.5, y: HEIGHT - height, width: step - 1, height });
  });
}

class Histogram {
  constructor(metric, send) {
    this.metric = metric;
    this.send = send;
    this.root = element("div", "metric");
    this.root.dataset.metric = metric.key;
    this.head = element("div", "head");
    this.svg = shape("svg", "plot", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.brush = shape("rect", "brush", { y: 0, height: HEIGHT });
    this.draw();
    this.bind();
  }

  draw() {
    const { metric } = this;
    const most = Math.max(...metric.whole, 1);
    this.svg.replaceChildren(
      ...bars(metric.whole, most, "whole"),
      ...bars(metric.part, most, "part"),
      shape("line", "ground", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      this.brush,
    );
    const picked = metric.part.reduce((sum, count) => sum + count, 0);
    const all = metric.whole.reduce((sum, count) => sum + count, 0);
    this.svg.setAttribute("aria-label", `Histogram of ${metric.title}: ${picked} of ${all} cases in the selection`);
    const ends = element("div", "ends");
    ends.append(element("span", "", this.say(metric.low)), element("span", "", this.say(metric.high)));
    this.root.replaceChildren(this.head, this.svg, ends);
    this.show(metric.range);
  }

  say(value) {
    return value.toFixed(this.metric.high - this.metric.low < NARROW ? 3 : 2);
  }

  place(value) {
    const { low, high } = this.metric;
    return (WIDTH * Math.min(Math.max(value - low, 0), high - low)) / (high - low);
  }

  show(range) {
    this.head.replaceChildren(element("span", "name", this.metric.title));
    this.brush.setAttribute("visibility", range ? "visible" : "hidden");
    if (!range) return;
    this.brush.setAttribute("x", String(this.place(range[0])));
    this.brush.setAttribute("width", String(Math.max(1, this.place(range[1]) - this.place(range[0]))));
    const clear = element("button", "clear", "×");
    clear.type = "button";
    clear.setAttribute("aria-label", `Remove the range of ${this.metric.title}`);
    clear.onclick = () => this.send({ key: this.metric.key, range: null });
    this.head.append(element("span", "range", `${this.say(range[0])} to ${this.say(range[1])}`), clear);
  }

  value(event) {
    const box = this.svg.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return this.metric.low + share * (this.metric.high - this.metric.low);
  }

  bind() {
    let start = null;
    this.svg.onpointerdown = (event) => {
      start = event;
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    };
    const range = (event) => [this.value(start), this.value(event)].sort((a, b) => a - b);
    this.svg.onpointermove = (event) => start && this.show(range(event));
    this.svg.onpointerup = (event) => {
      if (!start) return;
      const dragged = Math.abs(event.clientX - start.clientX) >= CLICK;
      const chosen = dragged ? range(event) : null;
      start = null;
      this.show(chosen);
      if (chosen || this.metric.range) this.send({ key: this.metric.key, range: chosen });
    };
    this.svg.onpointercancel = () => {
      start = null;
      this.show(this.metric.range);
    };
  }
}

const drawn = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".metrics");
  const found = JSON.stringify(data.metrics);
  if (drawn.get(grid) === found) return;
  drawn.set(grid, found);
  const send = (brushed) => setTriggerValue("brushed", brushed);
  grid.replaceChildren(...data.metrics.map((metric) => new Histogram(metric, send).root));
}
