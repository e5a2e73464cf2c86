// Shortcuts for the pages. All pages work without this script, which sends the same requests as the links and forms.
"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Search form: Enter submits, Shift+Enter starts a new line. A dropped file is submitted as the query.
for (const form of all("form.ask")) {
  const text = form.elements.q;
  const field = form.querySelector(".field");
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", () => document.body.classList.add("busy"));
  field.addEventListener("dragover", (event) => { event.preventDefault(); field.classList.add("over"); });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", async (event) => {
    field.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    text.value = await file.text();
    form.requestSubmit();
  });
}
addEventListener("pageshow", () => document.body.classList.remove("busy"));

// Keys: j and k select the next and the previous paper, Enter opens it, o expands its abstract, / focuses the search form.
let selected = null;
const select = (hit) => {
  if (!hit) return;
  selected?.classList.remove("selected");
  selected = hit;
  selected.classList.add("selected");
  selected.focus({ preventScroll: true });
  selected.scrollIntoView({ block: "nearest" });
};
addEventListener("keydown", (event) => {
  const inField = event.target.matches?.("input, textarea, select, button, summary, a");
  if (event.ctrlKey || event.metaKey || event.altKey || (inField && !event.target.matches("a, summary"))) return;
  const hits = all(".hit");
  const index = hits.indexOf(selected);
  if (event.key === "j") select(hits[Math.min(index + 1, hits.length - 1)]);
  else if (event.key === "k") select(hits[Math.max(index - 1, 0)]);
  else if (event.key === "Enter" && selected && !inField) selected.querySelector("h2 a").click();
  else if (event.key === "o" && selected) selected.querySelector("details")?.toggleAttribute("open");
  else if (event.key === "/") { event.preventDefault(); document.querySelector("#q")?.focus(); }
});

// BibTeX links copy the entry to the clipboard.
addEventListener("click", async (event) => {
  const link = event.target.closest?.("a.cite");
  if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const label = link.textContent;
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(answer.status);
    await navigator.clipboard.writeText(await answer.text());
    link.textContent = "Copied";
  } catch {
    location.href = link.href;
  }
  setTimeout(() => { link.textContent = label; }, 1500);
});

// The link "More papers" appends the next page to the list, on a click or when the link scrolls into view.
const more = document.querySelector("ol.hits + a.more[href*='offset=']");
if (more) {
  const load = async () => {
    if (more.dataset.busy) return;
    more.dataset.busy = "yes";
    try {
      const answer = await fetch(more.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("ol.hits").append(...all("ol.hits > li", page));
      const next = page.querySelector("a.more");
      if (next) more.href = next.getAttribute("href");
      else more.remove();
      delete more.dataset.busy;
    } catch {
      more.textContent = "Loading failed; try again";
      delete more.dataset.busy;
    }
  };
  more.addEventListener("click", (event) => { event.preventDefault(); load(); });
  new IntersectionObserver(([entry]) => entry.isIntersecting && load(), { rootMargin: "300px" }).observe(more);
}

// Dragging the mouse over the bars of the years sets the filter by date.
const years = document.querySelector("svg.years");
if (years) {
  const bars = all("rect", years);
  const form = document.querySelector("form.range");
  let first = null;
  const bar = (event) => {
    const box = years.getBoundingClientRect();
    const index = Math.floor(((event.clientX - box.left) / box.width) * bars.length);
    return Math.max(0, Math.min(bars.length - 1, index));
  };
  const choose = (one, other) => {
    const [from, to] = [Math.min(one, other), Math.max(one, other)];
    bars.forEach((rect, index) => rect.classList.toggle("out", index < from || index > to));
    form.elements.from.value = bars[from].dataset.year;
    form.elements.to.value = bars[to].dataset.year;
  };
  years.addEventListener("pointerdown", (event) => {
    years.setPointerCapture(event.pointerId);
    first = bar(event);
    choose(first, first);
  });
  years.addEventListener("pointermove", (event) => first !== null && choose(first, bar(event)));
  years.addEventListener("pointerup", () => { first = null; form.requestSubmit(); });
  years.addEventListener("pointercancel", () => { first = null; });
}

// The map shows the title of the paper under the pointer.
for (const figure of all("figure.map")) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  figure.append(tip);
  let shown = null;
  const show = (event) => {
    const link = event.target.closest?.("a");
    tip.hidden = !link;
    shown = link;
    if (!link) return;
    const [dot, box] = [link.querySelector("circle").getBoundingClientRect(), figure.getBoundingClientRect()];
    tip.textContent = link.querySelector("title").textContent;
    const half = Math.min(tip.offsetWidth / 2, box.width / 2);
    const left = dot.left + dot.width / 2 - box.left;
    tip.style.left = `${Math.max(half, Math.min(box.width - half, left))}px`;
    tip.style.top = `${dot.top - box.top}px`;
  };
  figure.addEventListener("pointerover", (event) => event.pointerType !== "touch" && show(event));
  // Touch screens have no hovering: the first touch shows the title, the second follows the link.
  let followsLink = true;
  figure.addEventListener("pointerdown", (event) => {
    const link = event.target.closest?.("a");
    followsLink = event.pointerType !== "touch" || (link !== null && link === shown);
  });
  figure.addEventListener("click", (event) => {
    if (followsLink) return;
    event.preventDefault();
    show(event);
    followsLink = true;
  });
  figure.addEventListener("focusin", show);
  figure.addEventListener("focusout", () => { tip.hidden = true; });
}

// The status page is reloaded every few seconds while it is visible.
const live = document.querySelector("#live");
if (live) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      live.replaceChildren(...page.querySelector("#live").childNodes);
    } catch { /* The server cannot be reached: keep the last status. */ }
  }, Number(live.dataset.every));
}
