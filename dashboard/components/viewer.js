// The attention viewer. All maps of a caption arrive once; hovering, keys and playing need no server. The selected map
// is reported a moment later, so that the URL of the page contains it.

const REST = 500; // ms after the last click or key before it is reported
const PACE = 700; // ms per word while playing
const LARGEST = 860; // CSS pixels of the large picture's longer side, where there is room
const TILE = 200; // canvas pixels of a tile's longer side
const END = "<end>";
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];
const NARROW = 720; // CSS pixels: in a narrower viewer the text is below the photo

// 256 colours of a scale that is given at a few equal steps.
function ramp(scale) {
  return Array.from({ length: 256 }, (_, byte) => {
    const place = (byte / 255) * (scale.length - 1);
    const below = Math.min(Math.floor(place), scale.length - 2);
    return scale[below].map((start, channel) => start + (place - below) * (scale[below + 1][channel] - start));
  });
}

const viewers = new WeakMap();

function decode(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.reported = []; // views that were reported and have not come back yet
    this.turn = Date.now(); // differs from those of earlier pages
    this.find = (name) => root.querySelector(`.${name}`);
    this.hovered = null;
    this.unzoom();
    this.onKey = (event) => this.key(event);
    this.bind();
    new ResizeObserver(() => this.data && this.draw()).observe(root);
  }

  // Data

  take(data, report) {
    this.report = report;
    const fresh = !this.data || this.data.name !== data.name;
    const news = this.isNews(JSON.stringify(data.view)) || fresh;
    if (fresh) this.load(data);
    if (!news) return;
    this.view = { ...data.view };
    clearTimeout(this.timer);
    this.refresh();
  }

  // A view that comes back from our own report is ignored, because the user may have moved on. It comes back once; the
  // next time it comes from the URL.
  isNews(view) {
    const place = this.reported.indexOf(view);
    const known = place >= 0 || view === this.received;
    this.reported = known ? this.reported.slice(place + 1) : [];
    this.received = view;
    return !known;
  }

  load(data) {
    this.stop();
    this.data = data;
    this.bytes = decode(data.weights);
    this.hovered = null;
    this.unzoom();
    this.reported = [];
    this.cache = new Map();
    this.fillSelect("layer", "Mean of layers", data.shape[1]);
    this.fillSelect("head", "Mean of heads", data.shape[2] > 1 ? data.shape[2] : 0); // a single head is the mean
    this.ramps = Object.fromEntries(Object.entries(data.scales).map(([name, scale]) => [name, ramp(scale)]));
    this.find("scale").replaceChildren(
      ...Object.keys(data.scales).map((name) => new Option(name[0].toUpperCase() + name.slice(1), name)),
    );
    this.buildWords();
    this.picture = null;
    if (!data.photo) return;
    const image = new Image();
    image.onload = () => {
      if (this.data !== data) return;
      this.picture = image;
      this.draw();
      this.drawStrip();
    };
    image.src = data.photo;
  }

  // float[patches] of a word under the current layer and head; a map sums to the part of the attention that it holds.
  raw(word) {
    const [, layers, heads, patches] = this.data.shape;
    const { layer, head } = this.view;
    const chosenLayers = layer ? [layer - 1] : [...Array(layers).keys()];
    const chosenHeads = head ? [head - 1] : [...Array(heads).keys()];
    const map = new Float32Array(patches);
    const share = 1 / (chosenLayers.length * chosenHeads.length * 255);
    for (const l of chosenLayers) {
      for (const h of chosenHeads) {
        const index = (word * layers + l) * heads + h;
        const scale = this.data.scale[index] * share;
        for (let p = 0; p < patches; p++) map[p] += this.bytes[index * patches + p] * scale;
      }
    }
    return map;
  }

  maps() {
    const key = `${this.view.layer}/${this.view.head}/${this.view.subtract}`;
    if (!this.cache.has(key)) {
      const maps = this.data.words.map((_, word) => this.raw(word));
      if (this.view.subtract === "mean") this.subtractMean(maps);
      if (this.view.subtract === "sinks") this.subtractSinks(maps);
      this.cache.set(key, maps);
    }
    return this.cache.get(key);
  }

  whole(map) {
    const sum = Math.max(1e-12, map.reduce((all, weight) => all + weight, 0));
    return map.map((weight) => weight / sum);
  }

  // The share of each map outside the caption's mean map, 0 to 1; every map counts as 1.
  moved() {
    const key = `moved/${this.view.layer}/${this.view.head}`;
    if (!this.cache.has(key)) {
      const maps = this.data.words.map((_, word) => this.whole(this.raw(word)));
      const mean = maps[0].map((_, p) => maps.reduce((sum, map) => sum + map[p], 0) / maps.length);
      const apart = (map) => map.reduce((sum, weight, p) => sum + Math.abs(weight - mean[p]), 0) / 2;
      this.cache.set(key, maps.map(apart));
    }
    return this.cache.get(key);
  }

  subtractMean(maps) {
    for (let p = 0; p < maps[0].length; p++) {
      const mean = maps.reduce((sum, map) => sum + map[p], 0) / maps.length;
      for (const map of maps) map[p] = Math.max(0, map[p] - mean);
    }
  }

  // As heatmaps.sinks: cells far above the median of their map for nearly every word get the median.
  subtractSinks(maps) {
    const medians = maps.map((map) => this.median(map));
    const sinks = this.sinks(maps, medians);
    maps.forEach((map, word) => sinks.forEach((p) => (map[p] = medians[word])));
  }

  sinks(maps, medians) {
    const { far, words, least } = this.data.sink;
    if (maps.length < least) return [];
    const limits = maps.map((map, word) => far * Math.max(medians[word], this.most(map) / 255));
    const counts = [...maps[0].keys()].map((p) => maps.filter((map, word) => map[p] > limits[word]).length);
    return [...counts.keys()].filter((p) => counts[p] / maps.length >= words);
  }

  sinkCount() {
    const key = `sinks/${this.view.layer}/${this.view.head}`;
    if (!this.cache.has(key)) {
      const maps = this.data.words.map((_, word) => this.raw(word));
      this.cache.set(key, this.sinks(maps, maps.map((map) => this.median(map))).length);
    }
    return this.cache.get(key);
  }

  median(map) {
    const sorted = [...map].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  // Building

  fillSelect(name, all, count) {
    const select = this.find(name);
    select.replaceChildren(new Option(all, "0"));
    for (let i = 1; i <= count; i++) select.append(new Option(String(i), String(i)));
  }

  buildWords() {
    const { words } = this.data;
    this.find("words").replaceChildren(...words.map((word, index) => this.button(word, index, "word")));
    this.find("strip").replaceChildren(
      ...words.map((word, index) => {
        const tile = this.button(word, index, "tile");
        tile.replaceChildren(document.createElement("canvas"), Object.assign(document.createElement("span"), { textContent: word }));
        tile.tabIndex = -1; // the same words are buttons above: one stop for the keyboard is enough
        return tile;
      }),
    );
  }

  button(word, index, className) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = word === END ? `${className} end` : className;
    made.textContent = word;
    made.onpointerenter = () => this.hover(index);
    made.onpointerleave = () => this.hover(null);
    made.onclick = () => this.move({ word: index });
    return made;
  }

  bind() {
    for (const name of ["layer", "head"]) {
      this.find(name).onchange = (event) => this.move({ [name]: Number(event.target.value) });
    }
    this.find("scale").onchange = (event) => this.move({ scale: event.target.value });
    this.find("subtract").onchange = (event) => this.move({ subtract: event.target.value });
    this.find("opacity").oninput = (event) => this.move({ opacity: Number(event.target.value) });
    this.find("play").onclick = () => this.togglePlay();
    this.find("in").onclick = () => this.zoomBy(1);
    this.find("out").onclick = () => this.zoomBy(-1);
    this.find("large").onpointerdown = (event) => this.grab(event);
    this.find("large").onpointerup = () => (this.grabbed = null);
    this.find("large").onpointermove = (event) => (this.grabbed ? this.drag(event) : this.point(event));
    this.find("large").onpointerleave = () => (this.find("spot").textContent = "");
  }

  // Acting

  hover(index) {
    this.hovered = index;
    this.draw();
  }

  move(change) {
    this.view = { ...this.view, ...change };
    this.refresh(!("word" in change));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.reported.push(JSON.stringify(this.view));
      this.report({ ...this.view, turn: ++this.turn }); // a repeated report must differ to be sent
    }, REST);
  }

  unzoom() {
    this.lens = { zoom: 1, x: 0.5, y: 0.5 }; // the centre of what is shown, as a share of the photo
    this.grabbed = null;
  }

  zoomBy(steps) {
    const place = Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(this.lens.zoom) + steps));
    if (this.lens.zoom === 1) Object.assign(this.lens, this.brightest());
    this.lens.zoom = ZOOMS[place];
    this.keepInside();
    this.draw();
  }

  // The centre of the brightest patch of the shown word: what is zoomed into first.
  brightest() {
    const map = this.maps()[this.shown()];
    const patch = map.indexOf(Math.max(...map));
    const [height, width] = this.data.grid;
    const { crop, size } = this.data;
    return {
      x: (crop.x + (((patch % width) + 0.5) / width) * crop.width) / size[0],
      y: (crop.y + ((Math.floor(patch / width) + 0.5) / height) * crop.height) / size[1],
    };
  }

  keepInside() {
    const half = 0.5 / this.lens.zoom;
    for (const axis of ["x", "y"]) this.lens[axis] = Math.max(half, Math.min(1 - half, this.lens[axis]));
  }

  grab(event) {
    if (this.lens.zoom === 1) return;
    this.grabbed = [event.clientX, event.clientY, this.lens.x, this.lens.y];
    this.find("large").setPointerCapture(event.pointerId);
  }

  drag(event) {
    const box = this.find("large").getBoundingClientRect();
    const [x, y, left, top] = this.grabbed;
    this.lens.x = left - (event.clientX - x) / box.width / this.lens.zoom;
    this.lens.y = top - (event.clientY - y) / box.height / this.lens.zoom;
    this.keepInside();
    this.draw();
  }

  // The place in the photo, 0 to 1, of a share of the canvas.
  through(share, axis) {
    return this.lens[axis] + (share - 0.5) / this.lens.zoom;
  }

  step(by) {
    const { length } = this.data.words;
    this.hovered = null;
    this.move({ word: (this.view.word + by + length) % length });
  }

  togglePlay() {
    if (this.playing) return this.stop();
    this.find("play").textContent = "❚❚ Pause";
    this.playing = setInterval(() => {
      this.hovered = null;
      this.view = { ...this.view, word: (this.view.word + 1) % this.data.words.length };
      this.refresh(false);
    }, PACE);
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.find("play").textContent = "▶ Play";
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    // Keys work everywhere on the page, but not while the user types or moves another control.
    // Space presses a focused button; on a word it plays, because Enter and a click select.
    const pressed = event.key === " " && target.closest && target.closest("button:not(.word, .tile)");
    const busy = target.closest && target.closest("input, select, textarea, [contenteditable], [role=slider], [role=combobox]");
    if (busy || pressed || (target !== document.body && !event.composedPath().includes(this.root))) return;
    if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === " ") this.togglePlay();
    else if (event.key === "+" || event.key === "=") this.zoomBy(1);
    else if (event.key === "-") this.zoomBy(-1);
    else return;
    event.preventDefault();
  }

  point(event) {
    const canvas = this.find("large");
    const box = canvas.getBoundingClientRect();
    const [height, width] = this.data.grid;
    const { crop, size } = this.data;
    const x = (this.through((event.clientX - box.left) / box.width, "x") * size[0] - crop.x) / crop.width;
    const y = (this.through((event.clientY - box.top) / box.height, "y") * size[1] - crop.y) / crop.height;
    const seen = x >= 0 && x < 1 && y >= 0 && y < 1;
    const map = this.maps()[this.shown()];
    const patch = Math.floor(y * height) * width + Math.floor(x * width);
    this.find("spot").textContent = seen ? `This patch: ${(100 * map[patch]).toFixed(2)} %` : "The model did not see this part.";
  }

  // Drawing

  shown() {
    return this.hovered ?? this.view.word;
  }

  // While a word has the focus, the focus is on the selected word: the toolbar is one stop of the Tab key.
  follow() {
    const active = this.root.getRootNode().activeElement;
    const items = [...this.root.querySelectorAll(".word")];
    items.forEach((item, index) => (item.tabIndex = index === this.view.word ? 0 : -1));
    const place = [items, [...this.root.querySelectorAll(".tile")]].map((group) => group.indexOf(active)).find((at) => at >= 0);
    if (place !== undefined && place !== this.view.word) items[this.view.word].focus({ preventScroll: true });
  }

  refresh(strip = true) {
    this.follow();
    this.find("layer").value = String(this.view.layer);
    this.find("head").value = String(this.view.head);
    this.find("subtract").value = this.view.subtract;
    this.find("opacity").value = String(this.view.opacity);
    this.find("scale").value = this.view.scale;
    this.flag();
    this.paintRamp();
    this.draw();
    if (strip) this.drawStrip();
  }

  // Mark words whose map is nearly the mean map, which depends little on the word.
  flag() {
    const moved = this.moved();
    for (const name of ["word", "tile"]) {
      this.root.querySelectorAll(`.${name}`).forEach((item, index) => {
        const near = moved[index] < this.data.near_mean;
        item.classList.toggle("mean", near);
        item.title = near ? "Nearly the caption's mean map" : "";
      });
    }
  }

  draw() {
    const word = this.shown();
    const canvas = this.find("large");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.room();
    this.fit(canvas, width * ratio, height * ratio);
    canvas.style.width = `${width}px`;
    canvas.classList.toggle("zoomed", this.lens.zoom > 1);
    this.find("level").textContent = `${Math.round(100 * this.lens.zoom)} %`;
    this.find("in").disabled = this.lens.zoom === ZOOMS.at(-1);
    this.find("out").disabled = this.lens.zoom === 1;
    this.paint(canvas, word, true);
    this.describe(word, canvas);
    for (const name of ["word", "tile"]) {
      this.root.querySelectorAll(`.${name}`).forEach((item, index) => item.setAttribute("aria-pressed", String(index === word)));
    }
  }

  // [width, height] in CSS pixels: two thirds of the viewer, and low enough that the words stay visible.
  room() {
    const [width, height] = this.data.size;
    const whole = this.root.clientWidth || 960;
    const wide = Math.max(280, Math.min(LARGEST, whole < NARROW ? whole : whole * 0.66));
    const high = Math.max(280, Math.min(LARGEST, window.innerHeight - 410));
    const zoom = Math.min(wide / width, high / height);
    return [Math.round(width * zoom), Math.round(height * zoom)];
  }

  drawStrip() {
    this.root.querySelectorAll(".tile canvas").forEach((canvas, word) => {
      const zoom = TILE / Math.max(...this.data.size);
      this.fit(canvas, this.data.size[0] * zoom, this.data.size[1] * zoom);
      this.paint(canvas, word, false);
    });
  }

  fit(canvas, width, height) {
    if (canvas.width !== Math.round(width)) canvas.width = Math.round(width);
    if (canvas.height !== Math.round(height)) canvas.height = Math.round(height);
  }

  paint(canvas, word, framed) {
    const context = canvas.getContext("2d");
    const { crop, size, missing } = this.data;
    const zoom = canvas.width / size[0];
    if (framed) this.look(context, canvas);
    const frame = [crop.x * zoom, crop.y * zoom, crop.width * zoom, crop.height * zoom];
    context.globalAlpha = 1;
    context.fillStyle = "#808890";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (this.picture) context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    else if (missing && framed) this.write(context, missing, canvas.width);
    this.veil(context, frame, canvas);
    context.globalAlpha = this.view.opacity / 100;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.save();
    context.beginPath();
    context.rect(...frame);
    context.clip();
    context.drawImage(this.heat(word), ...frame);
    context.restore();
    context.globalAlpha = 1;
    if (framed) this.outline(context, frame, canvas, Math.max(2, 2 * zoom));
    if (framed) this.box(context, word, zoom);
  }

  // Everything that is drawn next is magnified around the centre of the lens.
  look(context, canvas) {
    const { zoom, x, y } = this.lens;
    context.setTransform(zoom, 0, 0, zoom, (0.5 - zoom * x) * canvas.width, (0.5 - zoom * y) * canvas.height);
  }

  noun(word) {
    return this.data.nouns.find((noun) => noun.word === word);
  }

  // The boxes of the object that a word names, in two colours that are visible on any photo.
  box(context, word, zoom) {
    for (const [x, y, width, height] of this.noun(word)?.boxes ?? []) {
      for (const [colour, line] of [["#000", 5], ["#fff", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = line / this.lens.zoom;
        context.strokeRect(x * zoom, y * zoom, width * zoom, height * zoom);
      }
    }
  }

  // Cropped parts fade: the model did not see them.
  veil(context, frame, canvas) {
    context.globalAlpha = 0.65;
    context.fillStyle = "#808890";
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.rect(...frame);
    context.fill("evenodd");
  }

  // Places of tokens are measured to about a pixel of the photo: a border narrower than `near` is not drawn as a crop.
  outline(context, frame, canvas, near) {
    const whole = frame[2] >= canvas.width - near && frame[3] >= canvas.height - near;
    if (whole) return;
    for (const [colour, offset] of [["#000", 0], ["#fff", 6]]) {
      context.strokeStyle = colour;
      context.lineWidth = 2 / this.lens.zoom;
      context.setLineDash([6, 6]);
      context.lineDashOffset = offset;
      context.strokeRect(frame[0] + 1, frame[1] + 1, frame[2] - 2, frame[3] - 2);
    }
    context.setLineDash([]);
  }

  write(context, text, width) {
    context.fillStyle = "#fff";
    context.font = `${Math.round(width / 36)}px sans-serif`;
    context.fillText(text, width / 36, width / 18);
  }

  heat(word) {
    const [height, width] = this.data.grid;
    const map = this.maps()[word];
    const most = this.most(map);
    const colours = this.ramps[this.view.scale];
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    // A map is fainter where it is darker (as heatmaps.py draws it), so that the photo stays recognisable.
    map.forEach((weight, patch) => {
      const share = weight / most;
      pixels.data.set([...colours[Math.round(255 * share)], Math.round(255 * (0.25 + 0.75 * share))], 4 * patch);
    });
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  most(map) {
    return map.reduce((largest, weight) => Math.max(largest, weight), 1e-12);
  }

  describe(word, canvas) {
    const map = this.maps()[word];
    const sorted = [...map].sort((a, b) => b - a);
    const tenth = Math.max(1, Math.round(map.length / 10));
    const inTenth = sorted.slice(0, tenth).reduce((sum, weight) => sum + weight, 0);
    const name = this.data.words[word];
    const left = this.view.subtract === "mean" ? " above the mean map" : "";
    this.find("status").textContent =
      `Word ${word + 1} of ${this.data.words.length}: “${name}”. Its brightest patch has ` +
      `${(100 * sorted[0]).toFixed(1)} % of the attention${left}; the brightest 10 % of patches have ${(100 * inTenth).toFixed(0)} %.`;
    // Words of decoder-only models also attend to the prompt and to each other.
    const share = this.data.share?.[word];
    if (share !== undefined && share < 0.995) {
      this.find("status").textContent +=
        ` Its maps hold ${(100 * share).toFixed(0)} % of this word's attention (mean of layers and heads).`;
    }
    if (this.view.subtract === "sinks") {
      const count = this.sinkCount();
      const named = count === 0 ? "No cell is a sink" : count === 1 ? "1 sink is subtracted" : `${count} sinks are subtracted`;
      this.find("status").textContent += ` ${named}.`;
    }
    const apart = this.moved()[word];
    if (apart < this.data.near_mean) {
      this.find("status").textContent +=
        ` ≈ Nearly the caption's mean map: only ${(100 * apart).toFixed(0)} % of the attention differs, so the map says little about this word.`;
    }
    this.find("status").textContent += this.pointing(word);
    this.find("most").textContent = `${(100 * sorted[0]).toFixed(1)} % of the attention`;
    canvas.setAttribute("aria-label", `Attention of the word ${name} over the photo`);
    canvas.dataset.word = String(word);
  }

  // Whether the map points at the boxes; known for single layers, not for their mean.
  pointing(word) {
    const noun = this.noun(word);
    if (!noun) return "";
    const { layer, head, subtract } = this.view;
    const found = subtract !== "none" ? null : noun.found[`${layer}/${head}`];
    const frames = ` The solid ${noun.boxes.length > 1 ? "frames are the boxes" : "frame is the box"} of “${noun.label}”`;
    if (!found) return `${frames}.`;
    const [lift, hit] = found;
    return (
      `${frames}, with ${lift.toFixed(1)} times the attention of a uniform map; the brightest patch is ` +
      `${hit ? "inside" : "outside"}.`
    );
  }

  paintRamp() {
    const context = this.find("ramp").getContext("2d");
    this.ramps[this.view.scale].forEach(([red, green, blue], x) => {
      context.fillStyle = `rgb(${red}, ${green}, ${blue})`;
      context.fillRect(x, 0, 1, 1);
    });
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".viewer");
  if (!viewers.has(root)) viewers.set(root, new Viewer(root));
  const viewer = viewers.get(root);
  viewer.take(data, (view) => setStateValue("view", view));
  document.addEventListener("keydown", viewer.onKey);
  return () => {
    document.removeEventListener("keydown", viewer.onKey);
    viewer.stop();
  };
}
