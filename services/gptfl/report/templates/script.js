// Tooltips in place of the browser's slow ones, and the spec unfolded on paper. The report reads
// the same without this script: each mark keeps its numbers in a <title>.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const mark of document.querySelectorAll("[data-tip]")) {
    const title = mark.querySelector("title");
    mark.dataset.tip = title ? title.textContent : mark.title;
    if (title) title.remove(); else mark.removeAttribute("title");
  }
  const show = (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.replaceChildren(...mark.dataset.tip.split("\n").map((line) => {
      const row = document.createElement("div");
      row.append(...line.split("\t").map((part) => Object.assign(document.createElement("span"), { textContent: part })));
      return row;
    }));
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - height - 8))}px`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details.on-paper")) part.open = true;
  });
})();
