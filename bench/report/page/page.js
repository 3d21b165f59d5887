/* What the page does beyond what its HTML says: sort, filter, show the record behind a number, compare. */
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);

  function made(name, properties = {}, ...children) {
    const element = document.createElement(name);
    Object.assign(element, properties);
    element.append(...children);
    return element;
  }

  /* Light and dark: what the system says until the reader chooses; a page from a file may not be able to
     remember the choice. */
  const root = document.documentElement;
  const darkSystem = window.matchMedia("(prefers-color-scheme: dark)");
  const themeButton = one("#theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkSystem.matches);

  function remembered(value) {
    try {
      if (value) localStorage.setItem("cmbench-theme", value);
      return localStorage.getItem("cmbench-theme");
    } catch {
      return null;
    }
  }

  const showTheme = () => themeButton.setAttribute("aria-pressed", String(isDark()));

  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    showTheme();
  });
  darkSystem.addEventListener("change", showTheme);
  if (remembered()) root.dataset.theme = remembered();
  showTheme();

  /* Tables that sort. Numbers sort from high to low first, and by their full value. */
  const tables = all("table.sortable").map((table) => {
    return new DataTable(table, {
      paging: false,
      info: false,
      autoWidth: false,
      orderMulti: false,
      layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
      order: [],
      columnDefs: [
        { targets: "up", orderSequence: ["asc", "desc", ""], type: "num" },
        { targets: "num", orderSequence: ["desc", "asc", ""], type: "num" },
      ],
      language: { zeroRecords: "No method here fits the filter.", emptyTable: "No method has a row here." },
    });
  });

  /* Filters: by the name of a method, by family, and by dataset. */
  const filters = one("#filters");
  const wantedMethod = one("#filter-method");
  const wantedFamily = one("#filter-family");
  const wantedDataset = one("#filter-dataset");
  const folded = (text) => text.normalize("NFKD").toLowerCase();

  function fits(row) {
    const name = folded(one("th", row).textContent);
    const words = folded(wantedMethod.value).split(/[\s,]+/).filter(Boolean);
    const named = !words.length || words.some((word) => name.includes(word));
    return named && (!wantedFamily.value || row.dataset.family === wantedFamily.value);
  }

  function filter() {
    for (const table of tables) table.draw();
    for (const section of all("section.dataset")) {
      section.hidden = Boolean(wantedDataset && wantedDataset.value) && section.id !== wantedDataset.value;
    }
  }

  for (const table of tables) {
    table.search.fixed("page", (_text, _data, index) => fits(table.row(index).node()));
  }
  for (const field of [wantedMethod, wantedFamily, wantedDataset]) {
    if (field) field.addEventListener("input", filter);
  }
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;

  /* A link opens what it leads to, even where a filter hides it. */
  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const section = target.closest("section.dataset");
    if (section && section.hidden) {
      wantedDataset.value = "";
      filter();
    }
    if (target.matches("details")) target.open = true;
    target.scrollIntoView({ block: "start" });
  }
  window.addEventListener("hashchange", reveal);
  reveal();

  /* The record behind a number, on hover, focus and tap. It is made of what the record's own place says. */
  const popover = one("#popover");
  const SHORT = ["not at defaults", "parameters", "tuned", "preset"];
  const SHORT_OF_RUN = ["time", "memory", "warnings", "finished"];
  let shownFor = null;
  let hiding = 0;

  function runsTable(record, column) {
    const rows = all(".runs tbody tr", record).map((row) => {
      const cell = all("td", row).find((each) => each.dataset.column === column);
      const value = cell && cell.dataset.value ? Number(cell.dataset.value).toFixed(5) : "–";
      return made("tr", {},
        made("th", { scope: "row", textContent: one("th", row).textContent }),
        made("td", { className: "num", textContent: value }),
        made("td", {}, one("code", row).cloneNode(true)));
    });
    return made("table", {}, made("tbody", {}, ...rows));
  }

  function shortFacts(record) {
    /* What all runs have in common, and how the first of those that finished went. */
    const finished = all(".runs tbody tr", record).findIndex((row) => one("td[data-value]", row));
    const [common, ...ofRuns] = all(".facts", record);
    const chosen = (facts, names) => made("dl", { className: "facts" },
      ...all("div", facts).filter((fact) => names.includes(fact.dataset.fact)).map((fact) => fact.cloneNode(true)));
    const heading = made("div", { className: "where", textContent: all("h4", record)[finished].textContent });
    return [chosen(common, SHORT), ...(ofRuns.length > 1 ? [heading] : []), chosen(ofRuns[finished], SHORT_OF_RUN)];
  }

  function show(link) {
    clearTimeout(hiding);
    if (shownFor === link) return;
    hide();
    const record = document.getElementById(link.hash.slice(1));
    const heading = one(`.runs th[data-column="${CSS.escape(link.dataset.column)}"]`, record);
    popover.replaceChildren(
      made("div", { className: "name", textContent: record.dataset.label }),
      made("div", { className: "where", textContent: `${record.dataset.dataset}, ${heading.textContent}` }),
      runsTable(record, link.dataset.column),
      ...shortFacts(record));
    popover.hidden = false;
    link.setAttribute("aria-describedby", "popover");
    shownFor = link;
    place(link);
  }

  function place(link) {
    const at = link.getBoundingClientRect();
    const size = popover.getBoundingClientRect();
    const room = document.documentElement.clientWidth - size.width - 12;
    const left = Math.max(12, Math.min(at.left + at.width / 2 - size.width / 2, room));
    const below = at.bottom + size.height + 16 < window.innerHeight || at.top < size.height + 16;
    popover.style.left = `${left + window.scrollX}px`;
    popover.style.top = `${(below ? at.bottom + 8 : at.top - size.height - 8) + window.scrollY}px`;
  }

  function hide() {
    clearTimeout(hiding);
    popover.hidden = true;
    if (shownFor) shownFor.removeAttribute("aria-describedby");
    shownFor = null;
  }

  const hideSoon = () => { clearTimeout(hiding); hiding = setTimeout(hide, 180); };
  const numberOf = (event) => (event.target.closest ? event.target.closest("a.number") : null);
  let tapped = null;

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    if (numberOf(event)) show(numberOf(event));
    else if (popover.contains(event.target)) clearTimeout(hiding);
    else if (shownFor && shownFor !== document.activeElement) hideSoon();
  });
  document.addEventListener("pointerdown", (event) => {
    tapped = event.pointerType === "touch" ? numberOf(event) : null;
    if (!numberOf(event) && !popover.contains(event.target)) hide();
  });
  document.addEventListener("click", (event) => {
    /* The first tap shows the record in short, the second goes to it. */
    if (tapped && numberOf(event) === tapped && shownFor !== tapped) {
      event.preventDefault();
      show(tapped);
    } else if (numberOf(event)) {
      hide();
    }
  });
  document.addEventListener("focusin", (event) => {
    if (numberOf(event) && !tapped) show(numberOf(event));
    else if (!numberOf(event) && !popover.contains(event.target)) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  /* A table's numbers are one stop of the tabulator; arrows go from number to number. */
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function neighbour(link, [down, right]) {
    const rows = all("tbody tr", link.closest("table")).filter((row) => one("a.number", row));
    let row = rows.indexOf(link.closest("tr"));
    let column = link.closest("td").cellIndex;
    for (;;) {
      row += down;
      column += right;
      const cell = rows[row] && rows[row].cells[column];
      if (!cell) return null;
      if (one("a.number", cell)) return one("a.number", cell);
    }
  }

  function makeOnlyStop(link) {
    for (const other of all("a.number", link.closest("table"))) other.tabIndex = other === link ? 0 : -1;
  }

  for (const table of all("table.sortable")) {
    const first = one("a.number", table);
    if (first) makeOnlyStop(first);
    table.addEventListener("keydown", (event) => {
      const link = event.target.closest("a.number");
      const next = link && STEPS[event.key] && neighbour(link, STEPS[event.key]);
      if (!link || !STEPS[event.key]) return;
      event.preventDefault();
      if (next) {
        makeOnlyStop(next);
        next.focus();
      }
    });
  }
  for (const table of tables) {
    table.on("draw", () => {
      const first = one("tbody a.number", table.table().node());
      if (first) makeOnlyStop(first);
    });
  }

  /* Two methods side by side. */
  const data = JSON.parse(one("#data").textContent);
  const STEPS_OF_AP = 65534;
  const NO_AP = 65535;
  const SVG = "http://www.w3.org/2000/svg";
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

  function unpacked(text) {
    const bytes = atob(text);
    const values = new Float64Array(bytes.length / 2);
    for (let at = 0; at < values.length; at += 1) {
      const step = bytes.charCodeAt(2 * at) + 256 * bytes.charCodeAt(2 * at + 1);
      values[at] = step === NO_AP ? NaN : step / STEPS_OF_AP;
    }
    return values;
  }

  function selection(label, names, chosen) {
    const select = made("select", {}, ...names.map((name, at) =>
      made("option", { value: String(at), textContent: name, selected: at === chosen })));
    return [made("label", {}, label, select), select];
  }

  function drawn(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  function chart(differences, names) {
    /* All differences in order, as a curve about 0: the area above is won by the first, that below by the second. */
    const width = 1000, height = 220, sorted = [...differences].sort((a, b) => b - a);
    const largest = Math.max(0.001, Math.abs(sorted[0]), Math.abs(sorted[sorted.length - 1]));
    const x = (at) => (at / sorted.length) * width;
    const y = (value) => height / 2 - (value / largest) * (height / 2 - 6);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", preserveAspectRatio: "none" });
    const won = sorted.filter((value) => value > 0).length, lost = sorted.filter((value) => value < 0).length;
    svg.setAttribute("aria-label",
      `Differences of ${sorted.length} queries in order: ${won} for ${names[0]}, ${lost} for ${names[1]}`);
    for (const [sign, colour] of [[1, "var(--first)"], [-1, "var(--second)"]]) {
      const points = sorted.map((value, at) => {
        const shown = value * sign > 0 ? value : 0;
        return `L${x(at).toFixed(1)},${y(shown).toFixed(1)}L${x(at + 1).toFixed(1)},${y(shown).toFixed(1)}`;
      });
      svg.append(drawn("path", { d: `M0,${height / 2}${points.join("")}L${width},${height / 2}Z`, fill: colour }));
    }
    svg.append(drawn("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, stroke: "var(--soft)", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }));
    return svg;
  }

  function queriesTable(heading, rows, names) {
    const head = made("tr", {}, ...["Query", "Category", ...names, "difference"].map((text, at) =>
      made("th", { scope: "col", textContent: text, className: at > 1 ? "num" : "" })));
    const body = rows.map((row) => made("tr", {},
      made("th", { scope: "row", textContent: row.query }),
      made("td", { textContent: row.category }),
      ...[row.first.toFixed(3), row.second.toFixed(3), signed(row.difference)].map((text) =>
        made("td", { className: "num", textContent: text }))));
    const table = made("table", { className: "queries" },
      made("caption", { className: "unseen", textContent: heading }),
      made("thead", {}, head), made("tbody", {}, ...body));
    const region = made("div", { className: "scroll", tabIndex: 0 }, table);
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", heading);
    return made("div", {}, made("h4", { textContent: heading }), region);
  }

  function verdict(board, column, i, j) {
    const [first, second] = [board.methods[i], board.methods[j]];
    const mean = column.means[i] - column.means[j];
    const p = column.p[i][j];
    const chance = p <= board.level
      ? `unlikely to be chance: p = ${p.toFixed(4)}`
      : `it may be chance: p = ${p.toFixed(4)}`;
    return made("p", { className: "verdict" },
      made("span", { className: "one", textContent: first }), ` ${column.means[i].toFixed(3)}, `,
      made("span", { className: "two", textContent: second }), ` ${column.means[j].toFixed(3)}. `,
      `The difference is ${signed(mean)} (95 % interval ${signed(column.low[i][j])} to ${signed(column.high[i][j])}); `,
      `${chance} after correction for all pairs of methods.`);
  }

  function compared(board, column, i, j) {
    const first = unpacked(column.ap[i]), second = unpacked(column.ap[j]);
    const names = [board.methods[i], board.methods[j]];
    const rows = [...first.keys()]
      .map((at) => ({ query: board.ids[at], category: board.categories[at], first: first[at], second: second[at], difference: first[at] - second[at] }))
      .filter((row) => !Number.isNaN(row.difference))
      .sort((a, b) => b.difference - a.difference);
    const won = rows.filter((row) => row.difference > 0), lost = rows.filter((row) => row.difference < 0);
    const counts = `${won.length} test pairs are ranked better by ${names[0]}, ${lost.length} by ${names[1]}, ${rows.length - won.length - lost.length} alike.`;
    const sides = made("div", { className: "sides" },
      queriesTable(`Where ${names[0]} is ahead most`, won.slice(0, 8), names),
      queriesTable(`Where ${names[1]} is ahead most`, lost.slice(-8).reverse(), names));
    return [verdict(board, column, i, j), made("p", { className: "about", textContent: counts }),
      chart(rows.map((row) => row.difference), names), made("p", { className: "about", textContent: legend(won, lost, names) }), sides];
  }

  function legend(won, lost, names) {
    const side = (place, name, row) => row
      ? `${place} the line ${name} is ahead, by ${Math.abs(row.difference).toFixed(3)} at most`
      : `${name} is ahead nowhere`;
    return `A bar for each test pair, in order: ${side("above", names[0], won[0])}; ${side("below", names[1], lost[lost.length - 1])}.`;
  }

  function duel(place) {
    const board = data[place.dataset.board];
    const order = board.columns[board.main].means.map((mean, at) => [mean, at]).sort((a, b) => b[0] - a[0]);
    const [columnLabel, column] = selection("Number", board.columns.map((each) => each.name), board.main);
    const [firstLabel, first] = selection("First method", board.methods, order[0][1]);
    const [secondLabel, second] = selection("Second method", board.methods, order[1][1]);
    const result = made("div", { className: "result" });
    result.setAttribute("aria-live", "polite");
    const update = () => result.replaceChildren(
      ...compared(board, board.columns[column.value], Number(first.value), Number(second.value)));
    for (const select of [column, first, second]) select.addEventListener("input", update);
    const choice = made("div", { className: "choice" }, firstLabel, secondLabel, columnLabel);
    place.replaceChildren(choice, result);
    place.hidden = false;
    update();
    const still = place.parentElement.querySelectorAll(`[data-static-of="${place.dataset.board}"]`);
    for (const element of still) element.hidden = true;
  }
  for (const place of all(".duel")) duel(place);
})();
