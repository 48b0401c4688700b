// Any two columns of the table against each other, with the line of those that nothing else beats in both.

const paretoAxes = { x: MAIN_COLUMN, y: "accuracy" };

function drawParetoChoice(changed) {
  const pick = (label, axis) => {
    const options = KNOWN_COLUMNS.map(({ key, axis: long, title }) =>
      element("option", { value: key, selected: key === paretoAxes[axis] }, long ?? title),
    );
    const select = element(
      "select",
      { name: `axis-${axis}`, change: () => { paretoAxes[axis] = select.value; changed(); } },
      options,
    );
    return element("label", { class: "field" }, element("span", {}, label), select);
  };
  put("pareto-axes", pick("Up", "y"), pick("Across", "x"));
}

function drawPareto(costs) {
  const holder = document.getElementById("pareto-body");
  const [across, up] = [column(paretoAxes.x), column(paretoAxes.y)];
  const rows = DATA.rows.filter((row) => isShown(row, costs.get(row)));
  const points = rows
    .map((row) => ({ row, x: valueOf(across.key, row, costs.get(row)), y: valueOf(up.key, row, costs.get(row)) }))
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
    .map((point) => ({
      ...point,
      hollow: costs.get(point.row).feasible === false,
      told: `${up.title} ${up.text(point.y)}, ${across.title.toLowerCase()} ${across.text(point.x)}${costs.get(point.row).feasible === false ? ", not feasible for this use" : ""}`,
    }));
  const edge = frontier(points.filter(({ hollow }) => !hollow), across.better, up.better);
  const onEdge = new Set(edge.map(({ row }) => row));
  for (const point of points) point.named = onEdge.has(point.row) || point.row.is_baseline || points.length <= 14;
  const picture = points.length
    ? scatter({
        label: `${up.title} against ${across.title}`,
        axes: { x: axisOf(across), y: axisOf(up) },
        points,
        under: (x, y) => edge.length > 1 && drawn("path", { class: "edge", d: steps(edge.map((point) => [x.at(point.x), y.at(point.y)]), across.better === -1) }),
        width: widthOf(holder),
      })
    : element("p", {}, "Nothing to draw: these two are not known of any scheme that is shown.");
  const missing = rows.length - points.length;
  holder.replaceChildren(
    picture,
    familyLegend(rows, "hollow: not feasible for this use"),
    element("p", { class: "note" },
      across.errors || up.errors ? "Accuracy is drawn by the share of errors, on a logarithmic axis; no error at all stands at its end. " : "",
      edgeText(edge),
      "Every mark leads to its scheme’s section. ",
      missing ? `${numberText(missing)} of the schemes shown above lack one of the two measures.` : ""),
  );
}

function edgeText(edge) {
  if (!edge.length) return "";
  if (edge.length === 1) return `Nothing feasible that is shown is better than ${nameHere(edge[0].row)} in either. `;
  return "The line joins the feasible ones that nothing else shown is at least as good as in both. ";
}

function axisOf({ title, axis, text, tick, log, errors, kind }) {
  return { title: `${axis ?? title} (${kind})`, text: tick ?? text, log, errors };
}

// What can be had at each place across: between two neighbours, what the one has that costs no more than the place.
function steps(points, lessIsBetter) {
  return points.map(([x, y], i) => (i === 0 ? `M${x} ${y}` : lessIsBetter ? `H${x}V${y}` : `V${y}H${x}`)).join("");
}

function widthOf(holder) {
  return Math.max(280, Math.round(holder.clientWidth || 900));
}
