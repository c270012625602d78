// A grid of cards. Every text is set as textContent: captions and labels come from untrusted files.

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function photo(card) {
  if (!card.photo) return element("div", "photo missing", card.missing);
  const image = element("img", "photo");
  image.loading = "lazy";
  image.src = card.photo;
  image.alt = card.title ? `Photo ${card.id}: ${card.title}` : `Photo ${card.id}`;
  return image;
}

function bar(entry) {
  const row = element("div", entry.right ? "bar truth" : "bar");
  row.append(
    element("span", "label", entry.right ? `✓ ${entry.label}` : entry.label),
    element("span", "value", `${(100 * entry.probability).toFixed(1)} %`),
  );
  const track = element("div", "track");
  const fill = element("div", "fill");
  fill.style.width = `${Math.max(0, Math.min(1, entry.probability)) * 100}%`;
  track.append(fill);
  row.append(track);
  return row;
}

function build(card, clickable) {
  const made = element(clickable ? "button" : "div", "card");
  made.dataset.id = card.id;
  if (clickable) made.type = "button";
  made.append(photo(card));
  if (card.badge) made.append(element("span", "badge", card.badge));
  const body = element("div", "body");
  if (card.mark) body.classList.add(card.mark);
  if (card.title) body.append(element("span", "title", card.title));
  if (card.tags.length) {
    const tags = element("span", "tags");
    tags.append(...card.tags.map((tag) => element("span", "tag", tag)));
    body.append(tags);
  }
  if (card.note) body.append(element("span", "note", card.note));
  for (const entry of card.bars) body.append(bar(entry));
  made.append(body);
  return made;
}

const drawn = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  grid.style.maxHeight = data.height ? `${data.height}px` : "";
  grid.classList.toggle("scrolls", data.height > 0);
  if (data.height > 0) {
    grid.tabIndex = 0; // so that the arrow keys scroll
    grid.setAttribute("role", "region");
    grid.setAttribute("aria-label", "Images");
  }
  // Choosing a card runs the page again with the same cards: rebuilding them would drop the keyboard's focus.
  const cards = JSON.stringify(data.cards);
  if (drawn.get(grid) !== cards) {
    grid.replaceChildren(...data.cards.map((card) => build(card, data.clickable)));
    drawn.set(grid, cards);
  }
  for (const card of grid.querySelectorAll("button.card")) {
    card.setAttribute("aria-pressed", String(card.dataset.id === data.chosen));
    card.onclick = () => setTriggerValue("picked", card.dataset.id);
  }
}
