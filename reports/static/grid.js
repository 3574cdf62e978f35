// The grid of a trial: order, choice, marks, zoom. Without it the table shows everything that there is.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const grid = find("grid");
  if (!grid) return;
  const data = JSON.parse(find("trial").textContent);
  document.documentElement.classList.add("live");
  find("tools").hidden = find("using").hidden = false;
  const all = (selector, within = grid) => [...within.querySelectorAll(selector)];
  const count = (number) => number.toLocaleString("en");
  const cellsOf = (column) => all(`[data-column="${column}"]`);
  const names = data.columns.map((_, place) => place);

  // -- what is kept for the next visit ------------------------------------------------------------------------

  const key = `restyle-trial-${data.run}`;
  const recall = () => {
    try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
  };
  const state = { marks: {}, chosen: [], hidden: [], order: "", ...recall() };
  // On the dashboard marks are everybody's, and kept in the workspace.
  const shared = grid.dataset.marks || "";
  if (shared) state.marks = { ...data.marks };
  const send = (job, value, before) => {
    const body = new URLSearchParams({ form_token: data.form_token, job, mark: value });
    fetch(shared, { method: "POST", body }).then((answer) => answer.ok).catch(() => false).then((ok) => {
      if (ok) return;
      if (before) state.marks[job] = before; else delete state.marks[job];
      all(`td[data-job="${job}"]`).forEach(paint);
      tallies();
      find("chosen").textContent = "That mark was not kept: the dashboard did not answer. Mark it again.";
    });
  };
  const keep = () => {
    try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* then it lasts as long as the page */ }
  };
  const hidden = new Set(state.hidden.filter((place) => place in names));
  const chosen = new Set(state.chosen.filter((place) => place in names));
  let comparing = false;

  // -- columns ------------------------------------------------------------------------------------------------

  const frame = grid.parentElement;
  const tally = (column) => {
    const found = { keep: 0, reject: 0 };
    for (const cell of all(`td[data-column="${column}"][data-job]`)) {
      const mark = state.marks[cell.dataset.job];
      if (mark in found) found[mark] += 1;
    }
    return found;
  };
  const ranks = {
    "": (place) => place,
    kept: (place) => { const { keep: up, reject: down } = tally(place); return down - up; },
    cost: (place) => data.columns[place].credits,
    time: (place) => data.columns[place].seconds || Infinity,
  };
  const shown = () => names.filter((place) => (comparing ? chosen.has(place) : !hidden.has(place)));
  const ordered = () => {
    const rank = ranks[state.order] || ranks[""];
    return [...names].sort((one, other) => rank(one) - rank(other) || one - other);
  };
  const fit = () => {
    const columns = shown().length || 1;
    const head = grid.querySelector(".corner").offsetWidth || 100;
    const room = frame.parentElement.clientWidth - head - 40;
    grid.style.setProperty("--tile", `${Math.max(84, Math.min(comparing ? 480 : 250, Math.floor(room / columns)))}px`);
  };
  const lay = () => {
    const focused = document.activeElement;
    const order = ordered();
    const visible = new Set(shown());
    for (const row of grid.rows) {
      if (row.classList.contains("prompts")) continue;
      const cells = Object.fromEntries(all("[data-column]", row).map((cell) => [cell.dataset.column, cell]));
      for (const place of order) {
        const cell = cells[place];
        if (!cell) continue;
        row.append(cell);
        cell.hidden = !visible.has(place);
        cell.classList.toggle("chosen", chosen.has(place));
      }
    }
    heads(order.filter((place) => visible.has(place)));
    find("unhide").hidden = !hidden.size || comparing;
    find("unhide").textContent = `Show ${count(hidden.size)} hidden`;
    find("compare").disabled = !chosen.size;
    find("compare").setAttribute("aria-pressed", String(comparing));
    for (const place of names) find(`pick-${place}`).checked = chosen.has(place);
    // What is moved loses the focus.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    fit();
    tell();
  };
  // The prompts stand above the columns that follow one another.
  const heads = (order) => {
    const row = grid.querySelector(".prompts");
    const models = heads.models ||= Object.fromEntries(all("th[data-prompt]", row).map((head) => [head.dataset.prompt, head]));
    all("th", row).forEach((head) => head.remove());
    all(".first").forEach((cell) => cell.classList.remove("first"));
    let last = null;
    for (const place of order) {
      const prompt = data.columns[place].prompt;
      if (last && last.dataset.prompt === String(prompt)) {
        last.colSpan += 1;
        continue;
      }
      last = models[prompt].cloneNode(true);
      last.colSpan = 1;
      row.append(last);
      cellsOf(place).forEach((cell) => cell.classList.add("first"));
    }
  };
  const choose = (place, yes = !chosen.has(place)) => {
    if (yes) chosen.add(place); else chosen.delete(place);
    if (!chosen.size) comparing = false;
    state.chosen = [...chosen];
    keep();
    lay();
  };
  const hide = (place) => {
    hidden.add(place);
    state.hidden = [...hidden];
    keep();
    lay();
  };
  find("order").value = state.order;
  find("order").addEventListener("change", (event) => { state.order = event.target.value; keep(); lay(); });
  find("compare").addEventListener("click", () => { comparing = !comparing; lay(); });
  find("unhide").addEventListener("click", () => { hidden.clear(); state.hidden = []; keep(); lay(); });
  find("tools").addEventListener("submit", (event) => event.preventDefault());
  find("originals").addEventListener("click", (event) => {
    const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(on));
    for (const cell of all("td[data-job]")) {
      const picture = cell.querySelector(".zoom img");
      const before = originalOf(cell);
      if (!picture || !before) continue;
      picture.dataset.after ||= picture.src;
      picture.src = on ? before : picture.dataset.after;
    }
  });
  grid.addEventListener("change", (event) => {
    const head = event.target.closest("th.column");
    if (head) choose(Number(head.dataset.column), event.target.checked);
  });

  // -- marks --------------------------------------------------------------------------------------------------

  const paint = (cell) => {
    const mark = state.marks[cell.dataset.job] || "";
    if (mark) cell.dataset.marked = mark; else delete cell.dataset.marked;
    for (const button of all("[data-mark]", cell)) button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
  };
  const tallies = () => {
    for (const place of names) {
      const { keep: up, reject: down } = tally(place);
      const into = grid.querySelector(`th[data-column="${place}"] [data-tally]`);
      into.replaceChildren();
      for (const [sign, number, kind] of [["✓", up, "up"], ["✗", down, "down"]]) {
        if (number) into.append(Object.assign(document.createElement("span"), { className: kind, textContent: `${sign} ${number} ` }));
      }
    }
    find("forget").disabled = !Object.keys(state.marks).length;
  };
  const mark = (cell, value) => {
    const before = state.marks[cell.dataset.job] || "";
    const now = before === value ? "" : value;
    if (shared) send(cell.dataset.job, now, before);
    if (now) state.marks[cell.dataset.job] = now; else delete state.marks[cell.dataset.job];
    paint(cell);
    tallies();
    keep();
  };
  find("forget").addEventListener("click", () => {
    if (shared) for (const [job, before] of Object.entries(state.marks)) send(job, "", before);
    state.marks = {};
    all("td[data-job]").forEach(paint);
    tallies();
    keep();
  });

  // -- use these ----------------------------------------------------------------------------------------------

  const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  const span = (seconds) => {
    const minutes = Math.max(1, Math.round(seconds / 60));
    return minutes < 90 ? `${count(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
  };
  const tell = () => {
    const columns = ordered().filter((place) => chosen.has(place)).map((place) => data.columns[place]);
    find("save").disabled = !columns.length;
    if (find("plan")) find("plan").disabled = !columns.length;
    find("command").hidden = !columns.length;
    const beaten = columns.length ? data.beaten.filter((name) => columns.some((column) => name in column.params)) : [];
    find("beaten").hidden = !beaten.length || columns.length === 1;
    if (!columns.length) {
      find("chosen").textContent = "Choose the columns that you like by their boxes.";
      return;
    }
    const calls = data.rest * columns.length;
    const credits = columns.reduce((sum, column) => sum + column.credits * data.rest, 0);
    const cost = data.sandbox ? "free in the sandbox" : `at most ${credits.toFixed(2)} credits ($${(credits * data.price).toFixed(2)})`;
    find("chosen").textContent = `${columns.map(({ title }) => title).join(", ")}: the other ${count(data.rest)} picture${data.rest === 1 ? "" : "s"} of the catalog would be ${count(calls)} calls, ${cost}, about ${span(calls * data.seconds)}. What was tried is not paid for again.`;
    const words = data.command.map(quoted);
    // Of a single column, what would lose against the manifest's own cells is set.
    if (columns.length === 1) for (const name of beaten) words.push("--set", quoted(`${name}=${columns[0].params[name]}`));
    find("command").firstElementChild.textContent = `${words.join(" ")} --variants ${file}`;
    find("beaten").textContent = `The manifest has a column ${beaten.join(", ")} of its own, which beats the variants file: take it out, or choose one column.`;
  };
  const file = `chosen-${data.run}.json`;
  find("save").addEventListener("click", () => {
    const variants = ordered().filter((place) => chosen.has(place)).map((place) => ({ name: data.columns[place].name, ...data.columns[place].params }));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify(variants, null, 1)}\n`], { type: "application/json" }));
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

  // -- zoom ---------------------------------------------------------------------------------------------------

  const zoomed = find("zoomed");
  const stage = zoomed.querySelector(".stage");
  const headOf = (row) => { let at = row; while (at && !at.querySelector(".entry-head")) at = at.previousElementSibling; return at && at.querySelector(".entry-head"); };
  const originalOf = (cell) => headOf(cell.parentElement)?.querySelector("img")?.src || "";
  let current = null;
  const cut = (value) => { stage.style.setProperty("--cut", `${value}%`); stage.querySelector(".cut").value = value; };
  const paintZoom = () => {
    for (const button of all("[data-zoom-mark]", zoomed)) button.setAttribute("aria-pressed", String(current.dataset.marked === button.dataset.zoomMark));
  };
  const show = (cell) => {
    current = cell;
    const picture = cell.querySelector(".zoom img");
    const before = originalOf(cell);
    const column = data.columns[cell.dataset.column];
    stage.querySelector(".after").src = picture ? picture.dataset.after || picture.src : before;
    stage.querySelector(".after").alt = picture ? picture.alt : "No picture";
    stage.querySelector(".before").src = before;
    stage.querySelector(".before").hidden = !before || !picture;
    for (const part of all(".cut, .rule", stage)) part.hidden = !before || !picture;
    find("zoom-name").textContent = cell.parentElement.dataset.entry + (data.draws > 1 ? ` (seed ${cell.parentElement.dataset.draw})` : "");
    find("zoom-chips").textContent = column.title;
    find("zoom-how").textContent = cell.querySelector(".how").textContent.trim();
    paintZoom();
    if (!zoomed.open) zoomed.showModal();
  };
  stage.querySelector(".cut").addEventListener("input", (event) => cut(event.target.value));
  find("close").addEventListener("click", () => zoomed.close());
  zoomed.addEventListener("close", () => current?.querySelector(".zoom").focus());
  zoomed.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step], [data-zoom-mark]");
    if (event.target === zoomed) zoomed.close();
    if (!button) return;
    if (button.dataset.step) step(Number(button.dataset.step), 0);
    else { mark(current, button.dataset.zoomMark); paintZoom(); }
  });

  // -- moving -------------------------------------------------------------------------------------------------

  const lines = () => [...grid.tBodies[0].rows].map((row) => all("td[data-job]", row).filter((cell) => !cell.hidden)).filter((row) => row.length);
  const goTo = (cell) => {
    all('.zoom[tabindex="0"]').forEach((button) => { button.tabIndex = -1; });
    cell.querySelector(".zoom").tabIndex = 0;
    if (zoomed.open) { show(cell); return; }
    cell.querySelector(".zoom").focus({ preventScroll: true });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const step = (across, down) => {
    const rows = lines();
    const from = zoomed.open ? current : document.activeElement.closest("td[data-job]");
    const line = rows.findIndex((row) => row.includes(from));
    if (line < 0) { if (rows.length) goTo(rows[0][0]); return; }
    const next = rows[line + down]?.[rows[line].indexOf(from) + across];
    if (next) goTo(next);
  };
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-job]");
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("hide")) hide(Number(button.closest("th").dataset.column));
    else if (cell && button.dataset.mark) mark(cell, button.dataset.mark);
    else if (cell) { cut(0); goTo(cell); show(cell); }
  });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const letters = { k: "keep", x: "reject" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    const cell = zoomed.open ? current : document.activeElement.closest("td[data-job]");
    if (event.key in arrows && (cell || document.activeElement === document.body)) step(...arrows[event.key]);
    else if (event.key in letters && cell) { if (cell.dataset.marked !== letters[event.key]) mark(cell, letters[event.key]); if (zoomed.open) paintZoom(); else step(1, 0); }
    else if (event.key === "u" && cell) { if (cell.dataset.marked) mark(cell, cell.dataset.marked); if (zoomed.open) paintZoom(); }
    else if (event.key === "c" && cell) choose(Number(cell.dataset.column));
    else if (event.key === "h" && cell && !zoomed.open) { const at = cell; step(1, 0); hide(Number(at.dataset.column)); }
    else return;
    event.preventDefault();
  });

  // -- while it fills (the dashboard's page) ------------------------------------------------------------------

  const refresh = async () => {
    const answer = await fetch(grid.dataset.live, { headers: { accept: "text/html" } }).catch(() => null);
    if (answer?.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const cell of fresh.querySelectorAll("td[data-job]")) {
        const own = grid.querySelector(`td[data-job="${cell.dataset.job}"]`);
        if (!own || own.dataset.state === cell.dataset.state) continue;
        const had = own.contains(document.activeElement);
        own.replaceChildren(...cell.childNodes);
        own.dataset.state = cell.dataset.state;
        paint(own);
        if (had) own.querySelector(".zoom").focus({ preventScroll: true });
      }
      if (shared) {
        state.marks = { ...JSON.parse(fresh.getElementById("trial").textContent).marks };
        all("td[data-job]").forEach(paint);
        tallies();
      }
      for (const id of ["headway", "run-status"]) if (fresh.getElementById(id)) find(id).replaceWith(fresh.getElementById(id));
      for (const head of fresh.querySelectorAll("th.column")) {
        grid.querySelector(`th[data-column="${head.dataset.column}"] .sums`).replaceWith(head.querySelector(".sums"));
      }
      if (!fresh.getElementById("grid")?.dataset.live) return;
    }
    setTimeout(refresh, 2000);
  };
  if (grid.dataset.live) setTimeout(refresh, 1000);

  all("td[data-job]").forEach(paint);
  tallies();
  lay();
  const first = lines()[0]?.[0];
  if (first) first.querySelector(".zoom").tabIndex = 0;
  addEventListener("resize", fit);
  performance.mark("ready");
})();
