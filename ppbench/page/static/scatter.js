// A picture of two measures: a mark for each scheme that is a link to its section, on linear or logarithmic axes.

const TICKS_APART = { x: 90, y: 48 };
const LOG_FROM = 30;
const ERROR_TICKS = [1, 0.9, 0.99, 0.5, 0.999, 0.8, 0.98, 0.995, 0.95, 0.6, 0.7, 0.2];

// `axes`: {x, y}, each {title, text, log}. `points`: {row, x, y, hollow, name, told, low, high}. `under` draws behind.
function scatter({ label, axes, points, under = () => [], width, height = Math.min(460, Math.max(320, width * 0.55)) }) {
  const margin = { left: 66, right: 18, top: 14, bottom: 46 };
  const x = scaleOf(points.flatMap((point) => [point.x, point.low, point.high].filter(isKnown)), axes.x, margin.left, width - margin.right, TICKS_APART.x);
  const y = scaleOf(points.map((point) => point.y), axes.y, height - margin.bottom, margin.top, TICKS_APART.y);
  const area = { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
  const placed = labelPlaces(points.map((point) => ({ ...point, px: x.at(point.x), py: y.at(point.y) })), area);
  return drawn(
    "svg",
    { class: "picture", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label },
    under(x, y, area),
    axisLines(x, y, axes, area),
    points.filter(({ low }) => isKnown(low)).map(({ low, high, y: level, row }) =>
      drawn("line", { x1: x.at(low), x2: x.at(high), y1: y.at(level), y2: y.at(level), stroke: row.style.colour, class: "range" })),
    placed.map(pointMark),
  );
}

function pointMark({ row, px, py, hollow, told, label }) {
  return drawn(
    "a",
    { href: `#${sectionId(row)}`, class: "point", "aria-label": `${nameHere(row)}: ${told}` },
    drawn("title", {}, `${nameHere(row)}\n${told}`),
    drawn("circle", { cx: px, cy: py, r: 12, class: "halo" }),
    drawn("g", { transform: `translate(${px} ${py})` }, markerShape(row, hollow)),
    drawn("text", { x: label?.x ?? px, y: label?.y ?? py - 11, "text-anchor": label?.anchor ?? "middle", class: label ? "name" : "name hidden" }, nameHere(row)),
  );
}

function scaleOf(values, axis, from, to, apart) {
  const known = values.filter((value) => Number.isFinite(value));
  if (axis.errors) return errorScale(known, from, to, apart);
  const positive = known.filter((value) => value > 0);
  const [least, most] = [Math.min(...positive), Math.max(...known)];
  const isLog = axis.log && positive.length > 0 && most / least >= LOG_FROM;
  const count = Math.max(2, Math.floor(Math.abs(to - from) / apart));
  return isLog
    ? logScale(least, most, from, to, count, known.length > positive.length)
    : linearScale(known, from, to, count);
}

// Zeros, if there are any, stand at the low end.
function logScale(least, most, from, to, count, withZero) {
  const [low, high] = [Math.log10(least) - (withZero ? 0.9 : 0.25), Math.log10(most) + 0.25];
  const at = (value) => from + ((Math.max(value > 0 ? Math.log10(value) : low, low) - low) / (high - low)) * (to - from);
  const every = Math.max(1, Math.ceil((high - low) / count));
  const ticks = [];
  for (let power = Math.ceil(low); power <= high; power += every) ticks.push(10 ** power);
  return { at, ticks };
}

// Of accuracies: what tells 99 % from 98 % apart as far as 90 % from 80 %.
function errorScale(accuracies, from, to, apart) {
  const errors = accuracies.map((accuracy) => 1 - accuracy);
  const least = Math.min(0.5, ...errors.filter((error) => error > 0)) / 2;
  const [low, high] = [Math.log10(Math.max(...errors, least * 4)) + 0.06, Math.log10(least)];
  const at = (accuracy) => from + ((Math.log10(Math.max(1 - accuracy, least)) - low) / (high - low)) * (to - from) * 0.97;
  const ticks = [];
  for (const tick of ERROR_TICKS) {
    const inside = tick === 1 || (Math.log10(1 - tick) <= low && 1 - tick > least * 1.3);
    if (inside && ticks.every((other) => Math.abs(at(other) - at(tick)) > apart * 0.6)) ticks.push(tick);
  }
  return { at, ticks };
}

function linearScale(known, from, to, count) {
  const [least, most] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  const room = (most - least || Math.abs(most) || 1) * 0.08;
  const [low, high] = [least - room, most + room];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return { at: (value) => from + ((value - low) / (high - low)) * (to - from), ticks };
}

function axisLines(x, y, axes, { left, right, top, bottom }) {
  const tick = (text) => text.replace(/\.0+(?=\D|$)/, "").replace(/(\.\d*?)0+(?=\D|$)/, "$1");
  return drawn(
    "g",
    { class: "axes", "aria-hidden": "true" },
    x.ticks.map((value) => [
      drawn("line", { x1: x.at(value), x2: x.at(value), y1: top, y2: bottom }),
      drawn("text", { x: x.at(value), y: bottom + 16, "text-anchor": "middle" }, tick(axes.x.text(value))),
    ]),
    y.ticks.map((value) => [
      drawn("line", { x1: left, x2: right, y1: y.at(value), y2: y.at(value) }),
      drawn("text", { x: left - 8, y: y.at(value) + 4, "text-anchor": "end" }, tick(axes.y.text(value))),
    ]),
    drawn("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle", class: "title" }, axes.x.title),
    drawn("text", { transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "title" }, axes.y.title),
  );
}

// Names for the points that ask for one, each where it covers no mark and no other name; the rest show theirs on hover.
function labelPlaces(points, area) {
  const boxes = points.map(({ px, py }) => ({ left: px - 7, right: px + 7, top: py - 7, bottom: py + 7 }));
  const taken = [...boxes];
  return points.map((point, i) => {
    if (!point.named) return point;
    const width = nameHere(point.row).length * 6.6;
    const tries = [
      { x: point.px + 11, y: point.py + 4, anchor: "start" },
      { x: point.px - 11, y: point.py + 4, anchor: "end" },
      { x: point.px, y: point.py - 11, anchor: "middle" },
      { x: point.px, y: point.py + 20, anchor: "middle" },
      { x: point.px + 9, y: point.py - 9, anchor: "start" },
      { x: point.px + 9, y: point.py + 17, anchor: "start" },
      { x: point.px - 9, y: point.py - 9, anchor: "end" },
      { x: point.px - 9, y: point.py + 17, anchor: "end" },
    ];
    for (const place of tries) {
      const left = place.anchor === "start" ? place.x : place.anchor === "end" ? place.x - width : place.x - width / 2;
      const box = { left: left - 2, right: left + width + 2, top: place.y - 11, bottom: place.y + 3 };
      const inside = box.left >= area.left && box.right <= area.right && box.top >= area.top && box.bottom <= area.bottom;
      const free = taken.every((other, j) => j === i || box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom);
      if (inside && free) {
        taken.push(box);
        return { ...point, label: place };
      }
    }
    return point;
  });
}

// Which colour and mark is which family.
function familyLegend(rows, ...more) {
  const first = new Map();
  for (const row of rows) if (!first.has(row.family)) first.set(row.family, row);
  return element("ul", { class: "legend" }, [...first].map(([family, row]) => element("li", {}, marker(row), row.is_baseline ? "baselines" : family)),
    more.map((text) => element("li", {}, text)));
}
