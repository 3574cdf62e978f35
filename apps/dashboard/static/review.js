// Keys of the review room: n and p move, k keeps, r redoes, x rejects, u takes it back, / searches; arrows turn pages.
"use strict";
(() => {
  const jobs = document.getElementById("jobs");
  const letters = { k: "keep", r: "redo", x: "reject" };
  let at = "";
  const all = () => [...jobs.querySelectorAll(".job")];
  const here = () => document.activeElement.closest(".job") || document.getElementById(at);
  const goTo = (job) => {
    if (!job) return;
    at = job.id;
    job.focus({ preventScroll: true });
    job.scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    const list = all();
    const place = list.indexOf(here());
    goTo(place < 0 ? list[0] : list[place + by]);
  };
  jobs.addEventListener("focusin", (event) => { at = event.target.closest(".job")?.id || at; });
  // What was marked is put in the place of what was there, and keeps the focus.
  document.body.addEventListener("htmx:afterSettle", () => {
    if (at && document.activeElement === document.body) document.getElementById(at)?.focus({ preventScroll: true });
  });
  // While a mark is on its way no list takes the place of its form, since that would end it; nor does one that was asked
  // for before the mark was kept, and may not have it. The list is asked for again.
  let onTheWay = 0;
  let kept = 0;
  let late = false;
  let newest = null;
  const again = () => {
    if (onTheWay || !late) return;
    late = false;
    document.querySelector(".filters").requestSubmit();
  };
  document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
    detail.xhr.asked = performance.now();
    if (detail.target === jobs) newest = detail.xhr; else onTheWay += 1;
  });
  document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (detail.target !== jobs) return;
    // Of several lists the one that was asked for last stands, whichever comes last.
    const lacksMarks = onTheWay > 0 || detail.xhr.asked < kept;
    if (detail.xhr !== newest || lacksMarks) detail.shouldSwap = false;
    late ||= detail.xhr === newest && lacksMarks;
  });
  document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.target !== jobs) {
      onTheWay -= 1;
      kept = performance.now();
    }
    again();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const job = here();
    const turn = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    if (turn) jobs.querySelector(`.paging [rel="${turn}"]`)?.click();
    else if (event.key === "/") document.getElementById("q").focus();
    else if (event.key === "n") step(1);
    else if (event.key === "p") step(-1);
    else if (event.key in letters && job) {
      const button = job.querySelector(`[data-word="${letters[event.key]}"]`);
      if (button && button.getAttribute("aria-pressed") === "false") button.click();
      step(1);
    } else if (event.key === "u" && job) job.querySelector('[data-word][aria-pressed="true"]')?.click();
    else return;
    event.preventDefault();
  });
})();
