// The report's page: sliders, filters, and marks that are saved as a manifest. Without it the page still shows everything.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const gallery = find("gallery");
  const tools = find("tools");
  if (!tools) return;
  const rows = JSON.parse(find("rows").textContent);
  const entries = [...gallery.querySelectorAll(".entry")].map((element) => ({
    element,
    text: element.querySelector(".about").textContent.toLowerCase(),
    shots: [...element.querySelectorAll(".shot")],
  }));
  const shots = entries.flatMap((entry) => entry.shots);
  const run = document.body.dataset.run;
  // On the dashboard marks are everybody's, and set in its review.
  const shared = "shared" in document.body.dataset;

  // What is the same for every job is made here, so that the page stays small.
  gallery.classList.add("live");
  const slider = find("slider").content;
  const buttons = find("marks").content;
  for (const entry of entries) {
    const id = entry.element.querySelector(".id").textContent;
    for (const shot of entry.shots) {
      const name = `${id}, ${shot.querySelector("figcaption span").textContent}`;
      const pair = shot.querySelector(".pair");
      if (pair.querySelector(".after") && pair.querySelector(".before")) {
        pair.append(slider.cloneNode(true));
        pair.querySelector(".cut").setAttribute("aria-label", `Original over ${name}, percent`);
      }
      if (shared) continue;
      shot.querySelector("figcaption").append(buttons.cloneNode(true));
      shot.querySelector(".marks").setAttribute("aria-label", `Mark ${name}`);
    }
  }
  // In a page that is one file, each original is in it once.
  for (const entry of entries) {
    const source = entry.element.querySelector(".before[src]");
    for (const lacking of entry.element.querySelectorAll(".before:not([src])")) lacking.src = source.src;
  }
  gallery.addEventListener("error", (event) => {
    if (event.target.matches("img") && !event.target.src.startsWith("data:")) find("alone").hidden = false;
  }, true);

  // -- sliders ------------------------------------------------------------------------------------------------

  const list = gallery.querySelector(".entries");
  const columns = Number(list.dataset.columns);
  gallery.addEventListener("input", (event) => {
    if (event.target.matches(".cut")) event.target.parentElement.style.setProperty("--cut", `${event.target.value}%`);
  });
  const view = (value) => {
    list.style.setProperty("--cut", `${value}%`);
    for (const cut of list.querySelectorAll(".cut")) {
      cut.value = value;
      cut.parentElement.style.removeProperty("--cut");
    }
  };
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest(".samples button");
    if (!button) return;
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
    button.closest(".shot").querySelector(".after").src = button.dataset.src;
  });

  // -- what is kept for the next visit ------------------------------------------------------------------------

  const key = `restyle-marks-${run}`;
  const recall = () => {
    try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
  };
  const keep = () => {
    try { localStorage.setItem(key, JSON.stringify(marks)); } catch { /* then they last as long as the page */ }
  };
  // By the job's id, the second column, since a later report of the run may have other rows.
  const names = rows.lines.map((line) => line.split(",", 2)[1]);
  const marks = shared ? {} : recall();
  if (shared) for (const shot of shots) if (shot.dataset.marked) marks[names[shot.dataset.row]] = shot.dataset.marked;
  const markOf = (shot) => marks[names[shot.dataset.row]] || "";

  // -- filters ------------------------------------------------------------------------------------------------

  const chosen = (id) => (find(id) ? find(id).value : "");
  const matches = (shot, want) =>
    (!want.variant || shot.dataset.variant === want.variant) &&
    (!want.outcome || shot.dataset.outcome === want.outcome || (want.outcome === "suspect" && "suspect" in shot.dataset)) &&
    (!want.error || shot.dataset.error === want.error) &&
    (!want.marked || (markOf(shot) || "none") === want.marked);
  const filter = () => {
    const want = Object.fromEntries(["variant", "outcome", "error", "marked"].map((id) => [id, chosen(id)]));
    const text = chosen("search").trim().toLowerCase();
    let shown = 0;
    let widest = 1;
    for (const entry of entries) {
      let some = 0;
      const found = entry.text.includes(text);
      for (const shot of entry.shots) {
        const visible = found && matches(shot, want);
        shot.hidden = !visible;
        some += visible;
      }
      shown += some;
      widest = Math.max(widest, some);
      entry.element.hidden = !some;
    }
    // As many entries in a line as there is room for, by what is shown of them.
    list.className = `entries columns-${Math.min(widest, columns)}`;
    find("count").textContent = shown === shots.length ? `${count(shown)} shown` : `${count(shown)} of ${count(shots.length)} shown`;
    find("nothing").hidden = shown > 0;
  };
  const count = (number) => number.toLocaleString("en");
  tools.addEventListener("input", (event) => (event.target.name === "view" ? view(event.target.value) : filter()));
  tools.addEventListener("submit", (event) => event.preventDefault());
  const showAll = () => {
    for (const field of tools.querySelectorAll("select, [type=search]")) field.value = "";
    filter();
  };
  find("all").addEventListener("click", () => { showAll(); find("search").focus(); });
  for (const link of document.querySelectorAll("[data-show]")) {
    link.addEventListener("click", () => { showAll(); find("error").value = link.dataset.show; filter(); });
  }

  // -- marks --------------------------------------------------------------------------------------------------

  const paint = (shot) => {
    const mark = markOf(shot);
    if (mark) shot.dataset.marked = mark; else delete shot.dataset.marked;
    for (const button of shot.querySelectorAll(".marks button")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    }
  };
  const tell = () => {
    const counts = { keep: 0, redo: 0, reject: 0 };
    for (const shot of shots) if (markOf(shot)) counts[markOf(shot)] += 1;
    const told = Object.entries(counts).filter(([, number]) => number).map(([mark, number]) => `${count(number)} ${mark}`);
    find("marked-count").textContent = told.length ? `Marked: ${told.join(", ")}` : "Nothing marked.";
    find("save").disabled = find("forget").disabled = !told.length;
    find("next").hidden = true;
  };
  const mark = (shot, value) => {
    if (value) marks[names[shot.dataset.row]] = value; else delete marks[names[shot.dataset.row]];
    paint(shot);
    keep();
    tell();
  };
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest(".marks button");
    if (!button) return;
    const shot = button.closest(".shot");
    mark(shot, markOf(shot) === button.dataset.mark ? "" : button.dataset.mark);
  });
  find("forget").addEventListener("click", () => {
    for (const name of Object.keys(marks)) delete marks[name];
    shots.forEach(paint);
    keep();
    tell();
    filter();
  });
  find("save").addEventListener("click", () => {
    const lines = shots.filter(markOf).map((shot) => `${rows.lines[shot.dataset.row]},${markOf(shot)}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`\ufeff${rows.header},mark\n`, ...lines], { type: "text/csv" }));
    link.download = `marks-${run}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    const next = find("next");
    next.textContent = "Saved. Next: ";
    next.append(Object.assign(document.createElement("code"), { textContent: `restyle run ${link.download}${document.body.dataset.options}` }));
    next.hidden = false;
  });

  // -- keys ---------------------------------------------------------------------------------------------------

  let last = null;
  gallery.addEventListener("focusin", (event) => { last = event.target.closest(".shot") || last; });
  const goTo = (shot) => {
    last = shot;
    (shot.querySelector(".cut") || shot).focus({ preventScroll: true });
    shot.scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    const visible = shots.filter((shot) => !shot.hidden);
    const place = (shot) => Number(shot.dataset.row);
    // From where one is, even if that is no longer shown.
    const from = last ? place(last) : -1;
    const next = by > 0 ? visible.find((shot) => place(shot) > from) : visible.findLast((shot) => place(shot) < from);
    if (next) goTo(next);
  };
  const letters = { k: "keep", r: "redo", x: "reject", u: "" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input[type=search], select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const shot = document.activeElement.closest(".shot");
    if (event.key === "/") find("search").focus();
    else if (event.key === "n") step(1);
    else if (event.key === "p") step(-1);
    else if (event.key in letters && shot && !shared) {
      mark(shot, letters[event.key]);
      if (event.key !== "u") step(1);
    } else if (event.key === "o" && shot) shot.querySelector(".how a[href]")?.click();
    else return;
    event.preventDefault();
  });

  shots.filter(markOf).forEach(paint);
  filter();
  tell();
  performance.mark("ready");
})();
