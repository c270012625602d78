"use strict";
// Everything that is shown is set as text, never as HTML: captions and names come from anywhere.
const data = JSON.parse(document.getElementById("data").textContent);
const [ID, CAPTION, REFERENCES, TAGS, SCORES, PHOTO] = [0, 1, 2, 3, 4, 5];
const STEP = 60;  // cards that are added when the end of the page comes near
const $ = (name) => document.getElementById(name);
const texts = data.cases.map((each) => [each[ID], each[CAPTION], ...each[REFERENCES]].join("\n").toLowerCase());
let chosen = [], shown = 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function option(select, value, text) {
  const made = element("option", "", text);
  made.value = value;
  select.append(made);
}

function photo(each) {
  const box = element("div", "photo");
  if (each[PHOTO] === null) {
    box.textContent = "no photo";
    return box;
  }
  const image = element("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = each[CAPTION];
  image.src = "photos/" + each[PHOTO];
  box.append(image);
  return box;
}

function card(each) {
  const made = element("article");
  const body = element("div", "text");
  body.append(element("p", "caption", each[CAPTION] || "(empty caption)"));
  const scores = data.metrics.map((metric, place) => [metric, each[SCORES][place]]).filter(([, value]) => value !== null);
  body.append(element("p", "scores", scores.map(([metric, value]) => metric.title + " " + value.toFixed(metric.digits)).join(" · ")));
  if (each[TAGS].length) {
    const tags = element("div", "tags");
    for (const tag of each[TAGS]) tags.append(element("span", "", data.tags[tag]));
    body.append(tags);
  }
  if (each[REFERENCES].length) {
    const details = element("details"), list = element("ul");
    details.append(element("summary", "", each[REFERENCES].length + (each[REFERENCES].length > 1 ? " references" : " reference")));
    for (const text of each[REFERENCES]) list.append(element("li", "", text));
    details.append(list);
    body.append(details);
  }
  body.append(element("p", "id", each[ID]));
  made.append(photo(each), body);
  return made;
}

function more() {
  const next = chosen.slice(shown, shown + STEP);
  $("cards").append(...next.map((place) => card(data.cases[place])));
  shown += next.length;
}

function number(field) {
  return field.value === "" || Number.isNaN(Number(field.value)) ? null : Number(field.value);
}

function choose() {
  const words = $("words").value.trim().toLowerCase(), tag = $("tag").value;
  const [metric, order] = $("sort").value === "" ? [null, 1] : $("sort").value.split(" ").map(Number);
  const low = number($("low")), high = number($("high"));
  const value = (place) => data.cases[place][SCORES][metric];
  chosen = [];
  for (let place = 0; place < data.cases.length; place++) {
    if (words && !texts[place].includes(words)) continue;
    if (tag === "none" ? data.cases[place][TAGS].length : tag !== "" && !data.cases[place][TAGS].includes(Number(tag))) continue;
    if (metric !== null && (low !== null || high !== null)) {
      if (value(place) === null || (low !== null && value(place) < low) || (high !== null && value(place) > high)) continue;
    }
    chosen.push(place);
  }
  if (metric !== null) {
    // Images without a value come last; equal ones keep the order of their ids.
    chosen.sort((a, b) => (value(a) === null) - (value(b) === null) || order * (value(a) - value(b)) || a - b);
  }
  $("low").disabled = $("high").disabled = metric === null;
  $("count").textContent = chosen.length.toLocaleString("en") + " of " + data.cases.length.toLocaleString("en") + " images";
  $("cards").replaceChildren();
  shown = 0;
  more();
  fill();
}

function fill() {
  // The observer reports only changes: on a tall screen the end may stay in view.
  while (shown < chosen.length && $("more").getBoundingClientRect().top < innerHeight + 800) more();
}

option($("tag"), "", "all");
option($("tag"), "none", "no tag");
data.tags.forEach((tag, place) => option($("tag"), String(place), tag));
data.metrics.forEach((metric, place) => {
  option($("sort"), place + (metric.higher_is_better ? " 1" : " -1"), metric.title + ", worst first");
  option($("sort"), place + (metric.higher_is_better ? " -1" : " 1"), metric.title + ", best first");
});
option($("sort"), "", "image id");
$("choice").addEventListener("input", choose);
$("choice").addEventListener("submit", (event) => event.preventDefault());
$("choice").addEventListener("reset", () => setTimeout(choose));
new IntersectionObserver(fill, { rootMargin: "800px" }).observe($("more"));
addEventListener("resize", fill);
choose();
