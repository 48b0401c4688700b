// Elements of the page, made without ever parsing text as markup: names and reasons may be anybody's.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && isKnown(value)) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => isKnown(child) && child !== false));
  return node;
}

function put(id, ...children) {
  document.getElementById(id).replaceChildren(...children.flat(Infinity).filter(Boolean));
}

// A wide table in a box of its own: the page itself never scrolls sideways.
function scrollBox(label, ...children) {
  return element("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 }, ...children);
}

const MARKER_PATHS = {
  o: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
  s: "M-4.5 -4.5h9v9h-9z",
  "^": "M0 -5.5L5.2 4H-5.2z",
  v: "M0 5.5L5.2 -4H-5.2z",
  D: "M0 -6L6 0L0 6L-6 0z",
  P: "M-1.8 -5.4h3.6v3.6h3.6v3.6h-3.6v3.6h-3.6v-3.6h-3.6v-3.6h3.6z",
  X: "M-5 -2.5L-2.5 -5L0 -2.5L2.5 -5L5 -2.5L2.5 0L5 2.5L2.5 5L0 2.5L-2.5 5L-5 2.5L-2.5 0z",
};

// Filled, or hollow for what is not feasible; baselines are hollow diamonds as in every picture.
function markerShape({ style, is_baseline }, hollow = false) {
  return drawn("path", {
    d: MARKER_PATHS[style.marker] ?? MARKER_PATHS.o,
    fill: hollow || is_baseline ? "var(--surface)" : style.colour,
    stroke: style.colour,
    "stroke-width": 1.6,
    "stroke-dasharray": hollow && is_baseline ? "2 1.6" : null,
  });
}

function marker(row) {
  return drawn("svg", { class: "marker", viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" }, markerShape(row));
}

// Without the data set behind it, which tells schemes apart where several data sets are in one table.
function nameHere(row) {
  return view.dataset ? row.name.replace(`, ${row.dataset}`, "") : row.name;
}

// The same with places where a line may break.
function breakable(name) {
  return name.split(/(?<=[_,])/).flatMap((part, i) => (i ? [element("wbr"), part] : part));
}

function sectionId(row) {
  return `scheme-${DATA.rows.indexOf(row)}`;
}
