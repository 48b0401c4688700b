// The paper's figure 1 with measured labels beside the paper's: a line for each branch and each scheme.

function drawTree() {
  const lines = [...treeLines(treeOf(DATA.rows), 0)];
  if (!DATA.rows.some(({ computation }) => computation)) {
    put("tree", element("p", { class: "note" }, "No job here is calibrated, which labels need: measure.calibrate=true."));
    return;
  }
  put(
    "tree",
    scrollBox(
      "The paper’s tree with measured labels",
      element(
        "table",
        { class: "tree" },
        element("caption", { class: "unseen" }, "Branches of the paper’s figure 1, and the overhead of each scheme: measured, and as the paper labels it"),
        element("thead", {}, element("tr", {}, ["Branch and scheme", "Computation", "in the paper", "Communication", "in the paper"].map((title) => element("th", { scope: "col" }, title)))),
        element("tbody", {}, lines.map(treeLine)),
      ),
    ),
    element("p", { class: "note" },
      `Labels are for a ${DATA.reference_device}, whatever device is picked above, by the thresholds in ${DATA.thresholds.where}. `,
      `More than ${numberText(DATA.thresholds.iterative_above_rounds)} rounds is iterative; bytes up are set against ${DATA.thresholds.reference_bytes}. `,
      "Why a label differs from the paper’s is in the scheme’s section. Grey: branches of the paper without a scheme here."),
  );
}

function treeOf(rows) {
  const root = { children: new Map(), rows: [] };
  const at = (path) => path.reduce((node, name) => {
    if (!node.children.has(name)) node.children.set(name, { name, children: new Map(), rows: [] });
    return node.children.get(name);
  }, root);
  for (const row of rows) at(row.taxonomy).rows.push(row);
  for (const path of DATA.branches) at(path);
  return root;
}

function* treeLines(node, depth) {
  for (const child of node.children.values()) {
    yield { depth, branch: child.name, empty: !child.rows.length && !child.children.size };
    for (const row of child.rows) yield { depth: depth + 1, row };
    yield* treeLines(child, depth + 1);
  }
}

function treeLine({ depth, branch, empty, row }) {
  const indented = `--depth:${depth}`;
  if (!row) {
    const cell = element("th", { scope: "row", class: empty ? "branch empty" : "branch" }, branch);
    cell.style.cssText = indented;
    return element("tr", {}, cell, element("td", { colspan: 4 }, empty ? element("small", {}, "no scheme here") : ""));
  }
  const cell = element("th", { scope: "row", class: "leaf" }, marker(row), element("a", { href: `#${sectionId(row)}` }, row.name));
  cell.style.cssText = indented;
  return element("tr", {}, cell, treeCells(row.computation), treeCells(row.communication));
}

function treeCells(label) {
  if (!label) return [element("td", {}, NOT_MEASURED), element("td", {}, NOT_MEASURED)];
  const agreement = label.agrees === null ? null : element("b", { class: label.agrees ? "is-yes" : "is-no" }, label.agrees ? " agrees" : " differs");
  return [element("td", {}, chip(label)), element("td", {}, label.paper ?? NOT_MEASURED, agreement)];
}
