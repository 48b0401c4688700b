// The table of schemes for a use: baselines on top, filtered and sorted as the reader wants it.

const MOST_LINES = 60;
const FEASIBLE_TEXT = new Map([[true, "yes"], [false, "no"], [null, "unknown"]]);

const view = { family: "", task: "", dataset: mostCommonDataset(), feasible: false, alone: false, sort: MAIN_COLUMN, descending: false, all: false };

// What is about different samples is not compared, unless the reader asks for it.
function mostCommonDataset() {
  const datasets = DATA.rows.map(({ dataset }) => dataset);
  const count = (one) => datasets.filter((other) => other === one).length;
  return datasets.reduce((most, one) => (count(one) > count(most) ? one : most), datasets[0]);
}

// Baselines stay whatever the filter is, but for the data set: what is about other samples is no comparison.
function isShown(row, cost) {
  if (view.dataset && row.dataset !== view.dataset) return false;
  if (row.is_baseline) return true;
  return (
    (!view.family || row.family === view.family) &&
    (!view.task || row.task === view.task) &&
    (!view.feasible || cost.feasible === true) &&
    (!view.alone || !row.third_parties.length)
  );
}

function drawFilters(changed) {
  const form = document.getElementById("filters");
  const valuesOf = (key) => [...new Set(DATA.rows.map((row) => row[key]))].filter((value) => value && value !== "baseline");
  const update = (key, value) => {
    view[key] = value;
    view.all = false;
    changed();
  };
  const chooser = (label, key, any) => {
    const options = valuesOf(key).map((value) => element("option", { value, selected: value === view[key] }, value));
    const select = element("select", { name: key, change: () => update(key, select.value) },
      element("option", { value: "" }, any), options);
    return element("label", { class: "field" }, element("span", {}, label), select);
  };
  const check = (label, key) => {
    const box = element("input", { type: "checkbox", name: key, change: () => update(key, box.checked) });
    return element("label", { class: "check" }, box, label);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.replaceChildren(
    chooser("Family", "family", "all families"),
    chooser("Task", "task", "inference and training"),
    chooser("Data set", "dataset", "all data sets"),
    check("must be feasible", "feasible"),
    check("needs no third party", "alone"),
  );
}

function drawTable(use, costs, changed) {
  const shown = DATA.rows.filter((row) => isShown(row, costs.get(row)));
  const [baselines, schemes] = [true, false].map((wanted) => sorted(shown.filter((row) => row.is_baseline === wanted), costs));
  const lines = view.all ? schemes : schemes.slice(0, MOST_LINES);
  const left = schemes.length - lines.length;
  const columns = columnsFor(use);
  const line = (row) => tableLine(row, columns, costs);
  put(
    "table",
    scrollBox(
      "Schemes and what they cost for this use",
      element(
        "table",
        { class: "schemes" },
        element("caption", { class: "unseen" }, `Schemes for ${useText(use)}`),
        element("thead", {}, element("tr", {}, headers(columns, changed))),
        element("tbody", { class: "baselines" }, baselines.map(line)),
        element("tbody", {}, lines.length ? lines.map(line) : nothingLine(columns)),
      ),
    ),
    left > 0 &&
      element("p", { class: "note" }, `${numberText(left)} more are not listed. `,
        element("button", { type: "button", click: () => { view.all = true; changed(); } }, `List all ${numberText(schemes.length)}`)),
    element("p", { class: "note" }, tableNote()),
  );
}

function sorted(rows, costs, key = view.sort, descending = view.descending) {
  const valueIn = SORTS[key];
  const sign = descending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [one, other].map((row) => valueIn(row, costs.get(row)));
    // What is not known comes last, whichever way.
    if (a === null || b === null) return (a === null) - (b === null);
    return a < b ? -sign : a > b ? sign : 0;
  });
}

const SORTS = {
  name: (row) => row.name,
  feasible: (row, cost) => -FEASIBLE_RANK.get(cost.feasible),
  ...Object.fromEntries(COLUMNS.map(({ key }) => [key, (row, cost) => valueOf(key, row, cost)])),
};

function headers(columns, changed) {
  const sortable = (key, title, kind) => {
    const active = view.sort === key;
    const toggle = () => {
      view.descending = active ? !view.descending : column(key)?.better === 1;
      view.sort = key;
      changed();
      document.querySelector(`[data-sort="${key}"]`).focus();
    };
    return element(
      "th",
      { scope: "col", "aria-sort": active ? (view.descending ? "descending" : "ascending") : null, class: key, "data-title": title },
      element("button", { type: "button", "data-sort": key, click: toggle }, title),
      kind && element("small", {}, kind),
    );
  };
  return [
    sortable("name", "Scheme"),
    !view.dataset && element("th", { scope: "col", class: "text" }, "Data set"),
    sortable("feasible", "Feasible", "modelled"),
    ...columns.map(({ key, title, kind }) => sortable(key, title, kind)),
    element("th", { scope: "col", class: "labels" }, "Overhead", element("small", {}, "labels beside the paper’s")),
  ];
}

function tableLine(row, columns, costs) {
  const cost = costs.get(row);
  const beaten = beatenText(beatenBy(row, columns, costs));
  return element(
    "tr",
    { class: cost.feasible === false ? "infeasible" : null, "data-job": row.job },
    element(
      "th",
      { scope: "row" },
      element("div", { class: "named" }, marker(row),
        element("div", {},
          element("a", { href: `#${sectionId(row)}` }, breakable(nameHere(row))),
          element("small", {}, row.is_baseline ? "baseline" : [row.family, row.task === "training" ? ", training" : ""].join("")),
          beaten && element("small", { class: "beaten" }, beaten)))),
    !view.dataset && element("td", { class: "text" }, row.dataset),
    element("td", { class: "feasible" }, feasibleCell(cost)),
    columns.map((one) => valueCell(one, row, cost)),
    element("td", { class: "labels" }, labelLine("computation", row.computation), labelLine("communication", row.communication)),
  );
}

function feasibleCell(cost) {
  const words = FEASIBLE_TEXT.get(cost.feasible);
  const why = whyText(cost);
  return [element("b", { class: `is-${words}` }, words), why && element("small", {}, why)];
}

// Why not, or on what condition, and what the model leaves out.
function whyText({ reasons, condition, left_out }) {
  return [...reasons, condition, left_out && `not modelled: ${left_out}`].filter(Boolean).join("; ");
}

function valueCell({ key, of, text, range, beside }, row, cost) {
  const ends = range?.(row, cost);
  const small = ends ? `${text(ends.low)} – ${text(ends.high)}` : beside?.(row);
  const value = of(row, cost);
  return element("td", { "data-column": key, "data-value": isKnown(value) ? value : null }, text(value), small && element("small", {}, small));
}

function labelLine(axis, label) {
  if (!label?.measured && !label?.paper) return element("div", {}, NOT_MEASURED);
  return element(
    "div",
    { title: label.reason || null },
    chip(label),
    label.paper &&
      element("small", {}, label.agrees === null ? `paper: ${label.paper}` : label.agrees ? "as in the paper" : `paper: ${label.paper}`),
  );
}

function chip(label) {
  if (!label.measured) return NOT_MEASURED;
  return element("span", { class: `chip ${label.severity}` }, label.measured, label.firm ? "" : " ~");
}

function nothingLine(columns) {
  const span = columns.length + 3 + !view.dataset;
  return element("tr", {}, element("td", { colspan: span, class: "text" }, "No scheme passes the filters; the baselines above do not depend on them."));
}

function tableNote() {
  const parts = [
    "Time, bytes, rounds and energy are for one sample, preprocessing included; small print below a time is its range.",
    "Energy is computing and radio. The battery pays for setup and training once, then for samples; what a device takes while it sleeps, and the radio for preprocessing, is not modelled.",
    "~: a label that is not firm.",
    ...DATA.rows.filter((row) => row.is_baseline && DATA.schemes[row.scheme]?.protects === "nothing" && isShown(row))
      .map((row) => `${nameHere(row)} protects nothing: what a scheme costs beyond it is the price of privacy.`),
  ];
  if (DATA.rows.length < DATA.n_all_rows) {
    parts.push(`Of ${numberText(DATA.n_all_rows)} schemes and variants ${numberText(DATA.rows.length)} are in this page: the baselines, the cheapest and the dearest for a participant; summary.csv has all.`);
  }
  if (DATA.n_references) parts.push("Jobs that are there as a reference for one batch size are left out; summary.csv has them.");
  return parts.join(" ");
}

// Who is feasible, and for whom that holds.
function drawVerdict(use, costs) {
  const shown = DATA.rows.filter((row) => isShown(row, costs.get(row)));
  const schemes = shown.filter((row) => !row.is_baseline);
  const feasible = schemes.filter((row) => costs.get(row).feasible === true);
  const least = leastEnergy(schemes, costs);
  const baseline = leastEnergy(shown.filter((row) => row.is_baseline), costs);
  put(
    "verdict",
    element("p", { class: "for" }, "For ", element("strong", {}, useText(use))),
    element(
      "p",
      { class: "verdict", role: "status" },
      feasibleText(schemes, feasible, costs),
      least
        ? [" Of these, ", element("a", { href: `#${sectionId(least)}` }, nameHere(least)),
          ` takes the least energy: ${answerText(least, costs)}.`]
        : "",
      baseline && [" Of the baselines ", element("a", { href: `#${sectionId(baseline)}` }, nameHere(baseline)), ` does: ${answerText(baseline, costs)}.`],
    ),
  );
}

function feasibleText(schemes, feasible, costs) {
  if (!schemes.length) return "Of what is shown, all are baselines.";
  const nUnknown = schemes.filter((row) => costs.get(row).feasible === null).length;
  const unknown = nUnknown
    ? ` Nobody knows of ${nUnknown === schemes.length ? "any" : numberText(nUnknown)}: their host was not calibrated (measure.calibrate=true).`
    : "";
  if (nUnknown === schemes.length) return `${numberText(schemes.length)} schemes and variants; which are feasible?${unknown}`;
  return `${numberText(feasible.length)} of ${numberText(schemes.length)} schemes and variants ${feasible.length === 1 ? "is" : "are"} feasible.${unknown}`;
}

function leastEnergy(rows, costs) {
  const feasible = rows.filter((row) => costs.get(row).feasible === true && isKnown(costs.get(row).j_per_sample));
  return sorted(feasible, costs, "energy", false)[0];
}

function answerText(row, costs) {
  return `${energyText(costs.get(row).j_per_sample)} a sample, with ${percentText(row.measured.accuracy)} of its answers right`;
}
