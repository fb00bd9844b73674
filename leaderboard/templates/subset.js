"use strict";
// The main tables' numbers over the datasets that are chosen, from the scores in the page.  What
// needs more than these (interval, rank, groups) is left out, not left as it was.
(() => {
  const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const ascending = (values) => [...values].sort((a, b) => a - b);
  const iqm = (values) => {
    const cut = Math.floor(values.length / 4);
    return average(ascending(values).slice(cut, values.length - cut));
  };
  const median = (values) => {
    const sorted = ascending(values), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };
  // Of every dataset as many runs as the shortest has, those of the lowest seeds.
  const aggregate = (columns) => {
    const runs = Math.min(...columns.map((column) => column.length));
    const kept = columns.map((column) => column.slice(0, runs)), every = kept.flat();
    return {
      iqm: iqm(every), mean: average(every), median: median(kept.map(average)),
      gap: 100 - average(every.map((score) => Math.min(score, 100))), runs: [runs, columns.length],
    };
  };
  const shown = (number) => {
    const text = Math.abs(number).toFixed(1);
    return number < 0 && Number(text) ? `−${text}` : text;
  };

  const tables = [...document.querySelectorAll("template.scores")].map((template) => {
    const main = template.parentNode.querySelector("table.main"), heads = [...main.tHead.rows[0].cells];
    return {
      main, places: heads.map((head) => head.dataset.col ?? (head.textContent.trim() === "Rank" ? "rank" : "")),
      scores: JSON.parse(template.content.textContent), before: new Map(),
      note: main.querySelector(".whole"), usual: main.querySelector(".over"),
    };
  });
  const put = (table, cell, text, value) => {
    if (!table.before.has(cell)) table.before.set(cell, [[...cell.childNodes], cell.dataset.v]);
    cell.replaceChildren(text);
    if (value === undefined) delete cell.dataset.v;
    else cell.dataset.v = value;
  };
  const restore = (table) => {
    for (const [cell, [nodes, value]] of table.before) {
      cell.replaceChildren(...nodes);
      if (value === undefined) delete cell.dataset.v;
      else cell.dataset.v = value;
    }
    table.before.clear();
  };
  const compute = (table, chosen) => {
    for (const row of table.main.tBodies[0].rows) {
      const broken = chosen.some((place) => table.scores.failed[row.id]?.includes(place));
      const columns = chosen.map((place) => table.scores.rows[row.id]?.[place]).filter(Boolean);
      // A method's row says over how many it is; a reference row cannot, so it is over all or none.
      // Failed runs leave no number: those that finished would flatter the method.
      const enough = row.classList.contains("reference") ? columns.length === chosen.length : columns.length;
      const found = enough && !broken ? aggregate(columns) : {};
      table.places.forEach((place, at) => {
        const value = found[place];
        if (place === "interval" && broken) put(table, row.cells[at], "undefined, as runs failed");
        else if (["rank", "interval", "groups"].includes(place)) put(table, row.cells[at], "–");
        else if (place === "runs" && !row.classList.contains("reference")) {
          put(table, row.cells[at], value ? `${value[0]} × ${value[1]}` : "–", value && value[0] * value[1]);
        } else if (["iqm", "mean", "median", "gap"].includes(place)) {
          put(table, row.cells[at], value === undefined ? "–" : shown(value), value);
        }
      });
    }
  };
  document.addEventListener("datasets", ({ detail }) => {
    for (const table of tables) {
      const chosen = table.scores.places.filter((place) => detail.includes(String(place)));
      // Those that the table ranks over are what it shows by itself.
      const { over } = table.scores;
      const usual = !detail.length || (chosen.length === over.length && over.every((place) => chosen.includes(place)));
      restore(table);
      if (!usual) compute(table, chosen);
      table.note.hidden = usual;
      table.usual.hidden = !usual;
      table.note.textContent = `Over ${chosen.length} of ${table.scores.places.length} datasets, computed in this page: no interval, rank or groups; rows keep their order. `;
    }
  });
})();
