// The comparison page: what is compared is in the address, #suite=…&a=…&b=…, with &over=all over all
// datasets that both have, also those that their table does not rank over.
(() => {
  const plan = JSON.parse(document.getElementById("scores").content.textContent);
  const [suite, first, second] = ["suite", "first", "second"].map((id) => document.getElementById(id));
  const result = document.getElementById("result");
  const { node, number } = drawn;

  const make = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "v") made.dataset.v = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const interval = (found, digits = 2) => (found ? `[${number(found[0], digits)}, ${number(found[1], digits)}]` : "no interval");
  const count = (many, noun) => `${many.toLocaleString("en")} ${noun}${many === 1 ? "" : "s"}`;

  // --- Which two: from the address, or what is wrong with it ---
  // A whole id of a row names its table too.
  const parts = (text) => (text.includes("--") ? text.split("--") : ["", text]);
  const findRow = (table, text) => {
    const wanted = parts(text)[1];
    return table.rows.find((row) => row.key === wanted)
      ?? table.rows.find((row) => row.name === text)
      ?? table.rows.find((row) => row.algorithm === text);
  };
  const tablesOf = (text) => plan.tables.filter((table) => findRow(table, text) && (!parts(text)[0] || parts(text)[0] === table.id));
  const quoted = (text) => `“${text.slice(0, 80).replace(/[\p{Cc}\p{Cf}]/gu, "�")}”`;

  const apart = (a, b) => {
    const [ofA, ofB] = [tablesOf(a), tablesOf(b)];
    for (const [text, found] of [[a, ofA], [b, ofB]]) {
      if (!found.length) return `${quoted(text)} is no row of this board.`;
    }
    return `${quoted(a)} is in ${ofA[0].title}, ${quoted(b)} in ${ofB[0].title}. Rows of different suites or `
      + "protocols are not compared: their scores do not mean the same.";
  };
  const chosen = () => {
    if (!plan.tables.length) return { problem: "This board has no runs yet." };
    const query = new URLSearchParams(location.hash.slice(1));
    const [a, b, named] = ["a", "b", "suite"].map((name) => query.get(name) ?? "");
    const wanted = [a, b].filter(Boolean);
    const fitting = plan.tables.filter((table) => wanted.every((text) => tablesOf(text).includes(table)));
    const table = named ? plan.tables.find((each) => each.id === named) : fitting[0];
    if (named && !table) return { problem: `${quoted(named)} is no suite of this board.` };
    if (!table || !fitting.includes(table)) {
      const missing = table && wanted.find((text) => !tablesOf(text).includes(table));
      const elsewhere = missing && tablesOf(missing)[0];
      if (!elsewhere && missing) return { table, problem: `${quoted(missing)} is no row of ${table.title}.` };
      if (elsewhere) return { table, problem: `${quoted(missing)} is in ${elsewhere.title}, not in ${table.title}. Rows of different suites or protocols are not compared: their scores do not mean the same.` };
      return { table: plan.tables[0], problem: wanted.length === 2 ? apart(a, b) : `${quoted(wanted[0] ?? "")} is no row of this board.` };
    }
    const x = a ? findRow(table, a) : table.rows.find((row) => row !== (b && findRow(table, b)));
    const y = b ? findRow(table, b) : table.rows.find((row) => row !== x);
    return { table, x, y, all: query.get("over") === "all" };
  };

  // --- What the two share ---
  // A dataset with a failed run counts as one that its method was run on.
  const pairUp = (table, x, y, all) => {
    const notes = [], both = [], lacking = { A: [], B: [] };
    table.datasets.forEach((dataset, place) => {
      const cells = [x.cells[place], y.cells[place]], failed = cells.map((cell) => cell?.failed ?? 0);
      const scored = cells.map((cell) => cell?.scores.length > 0), tried = scored.map((has, at) => has || failed[at] > 0);
      if (tried[0] && tried[1]) both.push({ dataset, place, page: table.pages[place], x: cells[0].scores, y: cells[1].scores, failed });
      ["A", "B"].forEach((name, at) => { if (!scored[at] && tried[1 - at]) lacking[name].push(dataset); });
    });
    for (const [name, datasets] of Object.entries(lacking)) {
      if (datasets.length) notes.push(`${name} has no finished run on ${datasets.join(", ")}: left out.`);
    }
    const ranked = both.filter((each) => table.over.includes(each.place));
    const compared = all || !ranked.length ? both : ranked;
    const failures = [];
    [["A", x], ["B", y]].forEach(([name, row], at) => {
      const sum = (kind) => Object.values(row.cells).reduce((total, cell) => total + (cell[kind] ?? 0), 0);
      const failed = compared.reduce((total, each) => total + each.failed[at], 0);
      const elsewhere = sum("failed") - failed, unfinished = sum("unfinished");
      if (failed) failures.push(`${count(failed, "run")} of ${name} failed`);
      if (elsewhere) notes.push(`${count(elsewhere, "run")} of ${name} failed on datasets that are not compared here.`);
      if (unfinished) notes.push(`${count(unfinished, "run")} of ${name} did not finish and ${unfinished === 1 ? "is" : "are"} left out; what remains may flatter it.`);
    });
    const undefinedAs = failures.join(", ");
    if (undefinedAs) notes.unshift(`Undefined: ${undefinedAs} on these datasets. What finished would flatter it, so nothing is compared over all; below are the means of the finished runs. datumrl compare --failed-as takes the score of a failure that you say.`);
    const shared = compared.filter((each) => each.x.length && each.y.length);
    const fewest = Math.min(...shared.flatMap((each) => [each.x.length, each.y.length]));
    if (undefinedAs) return { notes, shared, compared, both, ranked, undefinedAs };
    if (shared.length && fewest === 1) notes.push("A dataset has a single run: one run shows no spread, so there is no interval.");
    else if (shared.length && fewest < plan.few_runs) notes.push(`A dataset has only ${count(fewest, "run")}: the intervals are far too narrow.`);
    return { notes, shared, compared, both, ranked, undefinedAs };
  };

  // --- Drawing ---
  const bar = (value, found, low, high, middle, label) => {
    const at = (each) => `${(2 + (96 * (Math.min(Math.max(each, low), high) - low)) / (high - low || 1)).toFixed(2)}%`;
    const line = (name, x1, x2, y1, y2) => node("line", { class: name, x1, x2, y1, y2 });
    const svg = node("svg", { class: "pair-mark", role: "img", "aria-label": label }, line("middle", at(middle), at(middle), "0%", "100%"));
    if (found) svg.append(line("bar", at(found[0]), at(found[1]), "50%", "50%"));
    svg.append(node("circle", { class: "dot", cx: at(value), cy: "50%", r: "4.5" }));
    return svg;
  };
  const figure = (id, title, value, ends, mark, words, ends2, digits = 2) => make("figure", { id, class: "finding" },
    make("figcaption", {}, make("b", {}, title)),
    make("p", { class: "big" }, make("span", { class: "value", v: value }, number(value, digits)), " ",
      make("span", { class: "ends", v: JSON.stringify(ends ?? null) }, interval(ends, digits))),
    mark, make("p", { class: "between" }, make("span", {}, ends2[0]), make("span", {}, ends2[1])), make("p", { class: "sub" }, words));

  const inWords = (value, ends, middle, unit) => {
    const side = value === middle ? "Neither is ahead" : `${value > middle ? "A" : "B"} is ahead${unit}`;
    if (!ends) return `${side}.`;
    const within = ends[0] <= middle && middle <= ends[1];
    return `${side}; the interval ${within ? "holds" : "leaves out"} ${middle}.`;
  };
  const findings = (found, unit, digits) => {
    const ends = found.differenceEnds, parts = [];
    if (found.difference !== null) {
      const far = 1.15 * Math.max(Math.abs(found.difference), ...(ends ?? [0]).map(Math.abs)) || 1;
      parts.push(figure("difference", "Difference of IQM, A less B", found.difference, ends,
        bar(found.difference, ends, -far, far, 0, `difference ${number(found.difference, digits)} ${interval(ends, digits)}`),
        `${inWords(found.difference, ends, 0, ` by ${number(Math.abs(found.difference), digits)} ${unit}`)} IQM of A ${number(found.iqm[0], digits)}, of B ${number(found.iqm[1], digits)}.`,
        ["← B ahead", "A ahead →"], digits));
    }
    const better = found.improvementEnds;
    parts.push(figure("improvement", "Probability of improvement, A over B", found.improvement, better,
      bar(found.improvement, better, 0, 1, 0.5, `probability ${number(found.improvement, 2)} ${interval(better)}`),
      inWords(found.improvement, better, 0.5, ""), ["0: B always", "1: A always"]));
    return make("div", { class: "findings" }, ...parts);
  };

  const profiles = (found, levels, unit, names) => {
    const frame = drawn.frame([levels[0], levels[levels.length - 1]], [0, 1], [unit, "share of runs above it"]);
    const curve = (values) => values.map((value, at) => [frame.across(levels[at]), frame.up(value)]);
    const parts = [...frame.parts];
    ["first", "second"].forEach((name, at) => {
      const band = found.bands?.[at];
      if (band) parts.push(node("path", { class: `band ${name}`, d: drawn.area(curve(band.map((each) => each[1])), curve(band.map((each) => each[0]))) }));
    });
    ["first", "second"].forEach((name, at) => parts.push(node("path", { class: `curve ${name}`, d: drawn.path(curve(found.profiles[at])) })));
    const key = (name, at) => make("span", { class: `legend ${name}` }, make("i", { "aria-hidden": "true" }), ` ${"AB"[at]}: ${names[at]}`);
    return make("figure", { class: "profile" },
      make("figcaption", {}, make("b", {}, "Performance profile."), " The share of runs with a score above each value, datasets alike; higher is better. Bands hold point by point. ", key("first", 0), " ", key("second", 1)),
      drawn.picture(parts, `performance profiles of ${names[0]} and ${names[1]}; the numbers are in the download`));
  };

  const strip = (one, scale) => {
    const at = (value) => (4 + (104 * (value - scale[0])) / (scale[1] - scale[0] || 1)).toFixed(1);
    const dots = (values, y) => [...values].sort((p, q) => p - q).map((value, place) => `M${at(value)} ${y + [0, -2, 2][place % 3]}h0`).join("");
    return node("svg", { class: "strip two", width: "112", height: "26", "aria-hidden": "true" },
      node("path", { class: "dots first", d: dots(one.x, 7) }), node("path", { class: "dots second", d: dots(one.y, 19) }));
  };
  // Of two methods on one dataset; null where failed runs leave it undefined.
  const chance = ({ x, y, failed }) => {
    if (failed.some(Boolean)) return null;
    const [first, second] = [sampleOf([x]), sampleOf([y])];
    return chances(duelOf(first, second), onceEach(first), onceEach(second))[0];
  };
  const perDataset = (shared, found, unit) => {
    const heads = ["Dataset", "A", "B", "A less B", "P(A > B)", "runs", ""];
    const cell = (value, ...words) => make("td", { class: "num", v: value }, ...words.flat());
    const shown = (values, digits) => (values.length > 1 ? `${number(average(values), digits)} ± ${number(deviation(values), digits)}` : number(values[0], digits));
    const rows = shared.map((one, at) => {
      const every = [...one.x, ...one.y], gap = one.failed.some(Boolean) ? null : average(one.x) - average(one.y);
      const digits = unit === "normalised scores" ? 1 : drawn.decimals(every);
      const mean = (values, failed) => cell(average(values), [shown(values, digits), failed && make("small", { class: "flag" }, ` ${failed} failed`)].filter(Boolean));
      const orNone = (value, places) => (value === null ? cell("", "–") : cell(value, number(value, places)));
      return make("tr", {}, make("th", { scope: "row" }, make("a", { href: one.page }, one.dataset)),
        mean(one.x, one.failed[0]), mean(one.y, one.failed[1]), orNone(gap, digits), orNone(found.perTask[at], 2),
        cell(one.x.length + one.y.length, `${one.x.length}, ${one.y.length}`),
        make("td", {}, strip(one, [Math.min(...every), Math.max(...every)])));
    });
    return make("div", { class: "scroll fit", tabindex: "0", role: "region", "aria-label": "Per dataset" },
      make("table", { id: "per-dataset" },
        make("caption", {}, `${unit[0].toUpperCase()}${unit.slice(1)}: mean ± standard deviation over seeds (ddof = 0). No interval: the seeds of one dataset are too few to carry one. Dots: A above, B below, each line on its own scale.`),
        make("thead", {}, make("tr", {}, ...heads.map((head, at) => make(head ? "th" : "td", { ...(head && { scope: "col" }), class: at && head ? "num" : "" }, head)))),
        make("tbody", {}, ...rows)));
  };

  // --- The page ---
  const levelsOf = (shared) => {
    const every = shared.flatMap((each) => [...each.x, ...each.y]), low = Math.min(...every), high = Math.max(...every);
    return Array.from({ length: 101 }, (_, at) => low + ((high - low) * at) / 100);
  };
  const download = (table, x, y, shared, levels, found) => {
    const content = { suite: table.id, protocol: table.protocol, a: x.name, b: y.name, datasets: shared.map((each) => each.dataset), levels, ...found, plan: { confidence: plan.confidence, resamples: plan.resamples, band_resamples: plan.band_resamples, seed: plan.seed } };
    const link = make("a", { download: "comparison.json", href: `data:application/json,${encodeURIComponent(JSON.stringify(content))}` }, "this comparison (JSON)");
    return make("p", {}, "Download ", link, "; ", make("a", { href: `data/${table.id}.csv`, download: "" }, "the raw scores of the table (CSV)"), ".");
  };
  const head = (table, x, y) => {
    const link = (row, name) => make("span", { class: `legend ${name}` }, make("i", { "aria-hidden": "true" }), " ", make("a", { href: row.page }, row.name), ` (${row.tier})`);
    return [make("h2", {}, link(x, "first"), make("span", { class: "against" }, " against "), link(y, "second")),
      make("p", { class: "protocol" }, make("b", {}, "Protocol. "), `${table.title}. ${table.protocol}`)];
  };
  // The table's own datasets unless asked for more.  Its numbers are these where both rows
  // have all of these, with equally many runs; the table cuts datasets to the fewest, this page counts all.
  const extent = (table, x, y, { shared, compared, both, ranked }, runs) => {
    const whole = shared.length === compared.length;  // else all runs of one failed somewhere
    const over = whole ? `${count(shared.length, "dataset")} that both have` : `${shared.length} of the ${count(compared.length, "dataset")} that both were run on`;
    const words = `Over ${over}, ${count(runs, "finished run")}.`;
    if (!ranked.length || ranked.length === both.length) return make("p", { class: "sub" }, words);
    const more = compared.length === both.length, query = { suite: table.id, a: x.key, b: y.key, ...(!more && { over: "all" }) };
    const others = both.filter((each) => !ranked.includes(each)).map((each) => each.dataset).join(", ");
    const told = more ? ` With ${others}, which the table does not rank over. ` : ` Without ${others}, which both have and the table does not rank over. `;
    const link = more ? `Over the table's ${count(ranked.length, "dataset")} only` : `Over all ${both.length}`;
    return make("p", { class: "sub" }, words, told, make("a", { href: `#${new URLSearchParams(query)}`, id: "extent" }, link));
  };
  const show = (table, x, y, all) => {
    if (x === y) return [...head(table, x, y), make("p", { class: "flag" }, "A and B are the same row; choose two different ones.")];
    const pair = pairUp(table, x, y, all), { notes, shared, undefinedAs } = pair;
    const listed = notes.map((note) => make("p", { class: "flag" }, note));
    if (!shared.length) return [...head(table, x, y), make("p", { class: "flag problem" }, "They share no dataset with finished runs of both, so nothing can be compared."), ...listed];
    const unit = table.normalised ? "normalised scores" : "undiscounted returns", levels = levelsOf(shared);
    const runs = shared.reduce((sum, each) => sum + each.x.length + each.y.length, 0), said = [...head(table, x, y), ...listed, extent(table, x, y, pair, runs)];
    if (undefinedAs) {
      const each = { undefined: undefinedAs, difference: null, improvement: null, perTask: shared.map(chance) };
      return [...said, perDataset(shared, each, unit), download(table, x, y, shared, null, each)];
    }
    const found = compareTasks(shared.map((each) => each.x), shared.map((each) => each.y), levels, plan);
    const mixed = !table.normalised && shared.length > 1;
    if (mixed) {
      // Returns of different datasets are in different units.
      found.difference = null;
      for (const name of ["iqm", "differenceEnds", "profiles", "bands"]) delete found[name];
      said.splice(-1, 0, make("p", { class: "flag" }, "Raw returns of different datasets have no common scale: no IQM and no profile. The probability of improvement needs none."));
    }
    const digits = table.normalised ? 2 : drawn.decimals(shared.flatMap((each) => [...each.x, ...each.y]), 2);
    return [...said, findings(found, table.normalised ? "points" : "of return", digits), mixed ? "" : profiles(found, levels, unit, [x.name, y.name]),
      perDataset(shared, found, unit), download(table, x, y, shared, mixed ? null : levels, found)];
  };

  const options = (select, items, current) => select.replaceChildren(...items.map(([value, words]) => {
    const option = make("option", { value }, words);
    option.selected = value === current;
    return option;
  }));
  const render = () => {
    const { table, x, y, all, problem } = chosen();
    options(suite, plan.tables.map((each) => [each.id, each.title]), table?.id);
    const rows = (table?.rows ?? []).map((row) => [row.key, row.name]);
    options(first, rows, x?.key ?? rows[0]?.[0]);
    options(second, rows, y?.key ?? rows[1]?.[0]);
    if (problem) result.replaceChildren(make("p", { class: "flag problem" }, problem));
    else if (!y) result.replaceChildren(make("p", { class: "flag problem" }, `${table?.title ?? "This board"} has no two rows to compare.`));
    else result.replaceChildren(...show(table, x, y, all));
    document.getElementById("status").textContent = problem ?? (y ? `${x.name} against ${y.name}` : "");
  };
  const go = (values) => { location.hash = new URLSearchParams(values).toString(); };
  suite.addEventListener("change", () => go({ suite: suite.value }));
  for (const select of [first, second]) select.addEventListener("change", () => go({ suite: suite.value, a: first.value, b: second.value }));
  document.getElementById("swap").addEventListener("click", () => go({ suite: suite.value, a: second.value, b: first.value }));
  document.getElementById("pair").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", render);
  render();
})();
