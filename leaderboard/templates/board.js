"use strict";
// An extra: without this script the page is complete, in its default order.
// What is sorted, searched, filtered and hidden is in the address, so that it can be sent to others.
(() => {
  const form = document.querySelector("form.controls");
  const tables = [...document.querySelectorAll("table.sortable")].map((element, place) => ({
    element, place, heads: [...element.tHead.rows[0].cells],
    body: element.tBodies[0], rows: [...element.tBodies[0].rows], order: null,
  }));
  const methods = [...document.querySelectorAll("tr[data-name]")];
  const boxes = (name) => form ? [...form.querySelectorAll(`input[name="${name}"]`)] : [];
  const ticked = (name) => boxes(name).filter((box) => box.checked).map((box) => box.value);
  const letters = (text) => text.normalize("NFKC").toLowerCase();

  // --- Sorting ---
  const value = (row, column) => row.cells[column]?.dataset.v ?? row.cells[column]?.textContent ?? "";
  const sort = (table, order) => {
    table.order = order;
    table.heads.forEach((head, column) => {
      if (order?.column === column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    if (!order) return table.body.append(...table.rows);
    const number = table.heads[order.column].dataset.sort === "number";
    const sign = order.down ? -1 : 1;
    const keyed = table.rows.map((row) => [number ? parseFloat(value(row, order.column)) : value(row, order.column), row]);
    keyed.sort(([a], [b]) => {
      if (!number) return sign * a.localeCompare(b, "en");
      // What has no number comes last, whichever way.
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    });
    table.body.append(...keyed.map(([, row]) => row));
  };
  for (const table of tables) {
    table.heads.forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.sort === "number" && head.dataset.first !== "up";
        const down = table.order?.column === column ? !table.order.down : first;
        sort(table, { column, down });
        record(true);
        tell(`Sorted by ${button.textContent.trim()}, ${down ? "descending" : "ascending"}.`);
      });
    });
  }

  // --- Filtering and choosing columns ---
  const showColumn = (table, column, shown) => {
    for (const row of [table.heads[column].parentNode, ...table.rows]) {
      if (row.cells[column]) row.cells[column].hidden = !shown;
    }
  };
  const filter = () => {
    if (!form) return;
    const wanted = letters(form.elements.q.value.trim());
    const tiers = ticked("tier"), sets = ticked("data"), columns = ticked("col");
    const hidden = new Set();
    for (const row of methods) {
      const lacks = (row.dataset.lacks ?? "").split(" ");
      const shown = letters(row.dataset.name).includes(wanted)
        && (!tiers.length || tiers.includes(row.dataset.tier))
        && (!sets.length || sets.some((each) => !lacks.includes(each)));
      row.hidden = !shown;
      if (!shown) hidden.add(row.id);
    }
    for (const table of tables) {
      for (const row of table.rows) {
        if (row.dataset.set) row.hidden = sets.length > 0 && !sets.includes(row.dataset.set);
      }
      table.heads.forEach((head, column) => {
        if (head.dataset.of) showColumn(table, column, !hidden.has(head.dataset.of));
        if (head.dataset.set) showColumn(table, column, !sets.length || sets.includes(head.dataset.set));
        if (head.dataset.col) showColumn(table, column, columns.includes(head.dataset.col));
      });
    }
    document.dispatchEvent(new CustomEvent("datasets", { detail: sets }));
    for (const table of tables) if (table.order) sort(table, table.order);
    for (const summary of form.querySelectorAll("summary[data-of]")) {
      const all = boxes(summary.dataset.of), on = all.filter((box) => box.checked).length;
      const plain = summary.dataset.of === "col" ? on === all.length : on === 0;
      summary.querySelector("span").textContent = plain ? "" : ` ${on} of ${all.length}`;
    }
  };
  const tell = (more) => {
    if (!form) return;
    const shown = methods.filter((row) => !row.hidden).length;
    const count = shown ? `${shown} of ${methods.length} rows shown.` : "No row matches.";
    form.querySelector("[role=status]").textContent = [count, more].filter(Boolean).join(" ");
  };

  // --- The address ---
  const record = (step) => {
    const query = new URLSearchParams();
    for (const { place, order, heads } of tables) {
      if (order) query.append("sort", [place, heads[order.column].dataset.col ?? order.column, order.down ? "down" : "up"].join("."));
    }
    if (form) {
      if (form.elements.q.value.trim()) query.set("q", form.elements.q.value.trim());
      for (const tier of ticked("tier")) query.append("tier", tier);
      for (const box of boxes("data")) if (box.checked) query.append("data", box.dataset.name);
      for (const box of boxes("col")) if (!box.checked) query.append("hide", box.value);
    }
    const text = query.toString();
    const target = location.pathname + (text ? `?${text}` : "") + location.hash;
    history[step ? "pushState" : "replaceState"](null, "", target);
  };
  const restore = () => {
    const query = new URLSearchParams(location.search);
    if (form) {
      form.elements.q.value = query.get("q") ?? "";
      for (const box of boxes("tier")) box.checked = query.getAll("tier").includes(box.value);
      for (const box of boxes("data")) box.checked = query.getAll("data").includes(box.dataset.name);
      for (const box of boxes("col")) box.checked = !query.getAll("hide").includes(box.value);
      filter();
      tell("");
    }
    const orders = query.getAll("sort").map((text) => text.split("."));
    for (const table of tables) {
      const [, name, way] = orders.find(([place]) => place === String(table.place)) ?? [];
      const column = table.heads.findIndex((head, index) => head.dataset.sort && (head.dataset.col ?? String(index)) === name);
      if (column >= 0) sort(table, { column, down: way === "down" });
      else if (table.order) sort(table, null);
    }
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      filter();
      record(event.target.name !== "q"); // one step back undoes a choice, not a letter
      tell("");
    });
    const panels = [...form.querySelectorAll("details")];
    addEventListener("click", (event) => {
      for (const panel of panels) if (!panel.contains(event.target)) panel.open = false;
    });
    form.addEventListener("keydown", (event) => {
      const panel = event.target.closest("details[open]");
      if (event.key !== "Escape" || !panel) return;
      panel.open = false;
      panel.querySelector("summary").focus();
    });
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      history.pushState(null, "", location.pathname + location.hash);
      restore();
    });
  }
  addEventListener("popstate", restore);
  if (location.search) restore();
  else { filter(); tell(""); }
})();
