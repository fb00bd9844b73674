// Learning curves: one picture per dataset, from the data in the page.
(() => {
  const places = [...document.querySelectorAll("[data-curve]")];
  if (!places.length) return;
  const curves = JSON.parse(document.getElementById("curves").content.textContent);
  const { node, short } = drawn;

  const limits = (values) => {
    const low = Math.min(...values), high = Math.max(...values);
    const room = (high - low || Math.abs(high) || 1) * 0.04;
    return [low - room, high + room];
  };
  const reach = (curve) => [...curve.low, ...curve.high, ...curve.others.flatMap((other) => other.values)];

  const parts = (curve, scale) => {
    const steps = [...curve.steps, ...curve.others.flatMap((other) => other.steps)];
    const frame = drawn.frame([Math.min(0, ...steps), Math.max(...steps)], scale, ["gradient steps", curve.unit]);
    const line = (xs, ys) => xs.map((x, at) => [frame.across(x), frame.up(ys[at])]);
    const found = [...frame.parts];
    const { steps: xs, mean, spread } = curve;
    if (curve.seeds > 1) {
      const above = mean.map((value, at) => value + spread[at]), below = mean.map((value, at) => value - spread[at]);
      const kept = (values) => values.map((value) => Math.min(Math.max(value, scale[0]), scale[1]));
      found.push(node("path", { class: "range", d: drawn.area(line(xs, curve.high), line(xs, curve.low)) }));
      found.push(node("path", { class: "band", d: drawn.area(line(xs, kept(above)), line(xs, kept(below))) }));
    }
    for (const other of curve.others) {
      found.push(node("path", { class: "lost", d: drawn.path(line(other.steps, other.values)) }));
    }
    if (xs.length) found.push(node("path", { class: "curve", d: drawn.path(line(xs, mean)) }));
    return { frame, found };
  };

  const told = (curve, at) => {
    const digits = curve.unit === "normalised score" ? 1 : drawn.decimals([...curve.low, ...curve.high]);
    const number = (value) => drawn.number(value, digits);
    const spread = curve.seeds > 1 ? ` ± ${number(curve.spread[at])}, seeds ${number(curve.low[at])} to ${number(curve.high[at])}` : "";
    return `step ${curve.steps[at].toLocaleString("en")}: ${number(curve.mean[at])}${spread}`;
  };

  // The pointer, or the arrow keys, read a point off the curve.
  const readable = (curve, frame, svg, readout) => {
    const cross = node("path", { class: "cross", d: "" });
    svg.append(cross);
    let at = curve.steps.length - 1;
    const show = (place) => {
      at = Math.min(Math.max(place, 0), curve.steps.length - 1);
      const x = frame.across(curve.steps[at]).toFixed(1);
      cross.setAttribute("d", `M${x} ${drawn.TOP}V${drawn.BOTTOM}`);
      readout.textContent = told(curve, at);
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * drawn.WIDTH;
      const far = curve.steps.map((step) => Math.abs(frame.across(step) - x));
      show(far.indexOf(Math.min(...far)));
    });
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: curve.steps.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(moves[event.key]);
    });
    readout.textContent = told(curve, at);
  };

  const scores = curves.filter((curve) => curve.unit === "normalised score");
  const shared = scores.length ? limits([0, 100, ...scores.flatMap(reach)]) : null;
  const draw = (alike) => {
    for (const place of places) {
      const curve = curves[Number(place.dataset.curve)];
      const scale = alike && curve.unit === "normalised score" ? shared : limits(reach(curve));
      const { frame, found } = parts(curve, scale);
      const label = `learning curve on ${curve.dataset}; arrow keys read it`;
      const svg = drawn.picture(found, label);
      const readout = document.createElement("p");
      readout.className = "readout";
      readout.setAttribute("aria-live", "polite");
      if (curve.steps.length) readable(curve, frame, svg, readout);
      else readout.textContent = `no finished seed; ${short(curve.others.length)} that did not finish`;
      place.replaceChildren(svg, readout);
    }
  };
  const box = document.getElementById("alike");
  if (box) {
    box.closest("p").hidden = scores.length < 2;
    box.addEventListener("change", () => draw(box.checked));
  }
  draw(false);
})();
