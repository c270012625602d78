// The words of a caption as buttons. Every text is set as textContent: captions come from untrusted files.

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function build(chip) {
  const made = element("button", chip.alarm === null ? "chip" : "chip alarmed");
  made.type = "button";
  made.dataset.index = chip.index;
  made.title = chip.described;
  made.setAttribute("aria-label", chip.described);
  if (chip.alarm !== null) made.style.setProperty("--alarm", Math.max(0, Math.min(1, chip.alarm)));
  made.append(element("span", "word", chip.word));
  const numbers = element("span", "numbers");
  if (chip.alarm_shown) numbers.append(element("span", "alarm", chip.alarm_shown));
  numbers.append(element("span", "gain", chip.gain_shown));
  made.append(numbers);
  return made;
}

function legend(lines) {
  const made = element("div", "legend");
  for (const line of lines) {
    const part = element("span", "");
    if (line.ramp) part.append("0", element("i", "ramp"), "1");
    part.append(element("span", "", line.text));
    made.append(part);
  }
  return made;
}

const drawn = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const row = parentElement.querySelector(".chips");
  // Choosing a word runs the page again with the same words: rebuilding them would drop the keyboard's focus.
  const content = JSON.stringify([data.chips, data.legend]);
  if (drawn.get(row) !== content) {
    row.replaceChildren(...data.chips.map(build));
    parentElement.querySelector(".legend")?.remove();
    row.after(legend(data.legend));
    drawn.set(row, content);
  }
  for (const chip of row.querySelectorAll(".chip")) {
    chip.setAttribute("aria-pressed", String(Number(chip.dataset.index) === data.chosen));
    chip.onclick = () => setTriggerValue("picked", Number(chip.dataset.index));
  }
}
