// Small SVG drawings by hand; text always goes in as text, never as markup.
const drawn = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const WIDTH = 380, HEIGHT = 232, LEFT = 46, RIGHT = 370, TOP = 26, BOTTOM = 192;

  const node = (name, attributes, ...children) => {
    const made = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Round numbers in [low, high], about five of them.
  const ticks = (low, high) => {
    const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
    const found = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) found.push(index * step);
    return found;
  };

  const number = (value, digits = 1) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const text = Math.abs(value) < 1e7
      ? value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
      : value.toPrecision(3);
    return (Number(text.replace(/,/g, "")) === 0 ? text.replace("-", "") : text).replace("-", "−");
  };

  // Decimals for returns: four digits of the largest, and at least some (evaluation/report_tables.py).
  const decimals = (values, least = 1) => {
    const largest = Math.max(0, ...values.map(Math.abs));
    return largest > 0 ? Math.min(20, Math.max(least, 3 - Math.floor(Math.log10(largest)))) : least;
  };

  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e6) return `${number(value / 1e6, 2).replace(/\.?0+$/, "")}M`;
    if (size >= 1e4) return `${number(value / 1e3, 1).replace(/\.0$/, "")}k`;
    return number(value, decimals([value], 2)).replace(/\.?0+$/, "");
  };

  // A frame with two axes: where values lie, and what it draws of itself.
  const frame = (x, y, labels) => {
    const across = (value) => LEFT + ((RIGHT - LEFT) * (value - x[0])) / (x[1] - x[0] || 1);
    const up = (value) => BOTTOM - ((BOTTOM - TOP) * (value - y[0])) / (y[1] - y[0] || 1);
    const parts = [node("path", { class: "axis-line", d: `M${LEFT} ${BOTTOM}H${RIGHT}` })];
    const text = (words, at, height, anchor) => parts.push(node("text", { x: at.toFixed(1), y: height.toFixed(1), "text-anchor": anchor }, words));
    for (const tick of ticks(...x)) {
      parts.push(node("path", { class: "axis-line", d: `M${across(tick).toFixed(1)} ${BOTTOM}v3` }));
      text(short(tick), across(tick), BOTTOM + 15, "middle");
    }
    for (const tick of ticks(...y)) {
      parts.push(node("path", { class: "grid", d: `M${LEFT} ${up(tick).toFixed(1)}H${RIGHT}` }));
      text(short(tick), LEFT - 5, up(tick) + 4, "end");
    }
    text(labels[0], (LEFT + RIGHT) / 2, HEIGHT - 4, "middle");
    text(labels[1], 2, 10, "start");
    return { across, up, parts };
  };

  const path = (points) => points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const area = (upper, lower) => `${path(upper)}${path([...lower].reverse()).replace("M", "L")}z`;

  const picture = (parts, label) => node("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts);

  return { node, ticks, number, decimals, short, frame, path, area, picture, LEFT, RIGHT, TOP, BOTTOM, WIDTH };
})();
