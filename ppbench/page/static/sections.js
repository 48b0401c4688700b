// One section a scheme and variant, filled when it is opened; and, last, what is not feasible or was not measured.

const STAGE_TEXTS = { setup: "setup, once", train: "training, once", offline: "offline, a pass", online: "online, a pass" };

function drawSections(use, costs) {
  const open = new Set([...document.querySelectorAll("#sections details.scheme[open]")].map(({ id }) => id));
  put("sections", DATA.rows.map((row) => schemeSection(row, costs.get(row), open.has(sectionId(row)))));
}

function schemeSection(row, cost, isOpen) {
  const words = DATA.schemes[row.scheme];
  const body = element("div", { class: "body" });
  const fill = () => {
    if (section.open && !body.childElementCount) body.append(...sectionBody(row, cost, words).filter(Boolean));
  };
  const section = element(
    "details",
    { class: "scheme", id: sectionId(row), open: isOpen, toggle: fill },
    element("summary", {}, marker(row), element("b", {}, row.name), element("span", {}, words?.title ?? "not installed here")),
    body,
  );
  fill();
  return section;
}

function sectionBody(row, cost, words) {
  return [
    words && pairs([["Protects", words.protects], ["Promises", words.guarantee], ["From", words.source]]),
    pairs([
      ["Task", `${row.task ?? "unknown"}: ${row.dataset} with ${row.model}, batches of ${numberText(row.batch_size)}, ${numberText(row.measured.n_samples)} samples, ${row.n_seeds} seed${row.n_seeds === 1 ? "" : "s"}`],
      ["Answers", `accuracy ${percentText(row.measured.accuracy)}; of the model on clear samples ${percentText(row.measured.accuracy_plaintext)}; agreement with it ${percentText(row.measured.agreement)}`],
      isKnown(row.measured.epsilon) && ["Epsilon", `${numberText(row.measured.epsilon)}, delta ${numberText(row.measured.delta)}`],
      ["Third parties", row.third_parties.join(", ") || "none"],
      ["For your use", [FEASIBLE_TEXT.get(cost.feasible), whyText(cost)].filter(Boolean).join(": ")],
      row.computation?.reason && ["Computation differs", row.computation.reason],
      row.communication?.reason && ["Communication differs", row.communication.reason],
    ]),
    words && rolesOf(words.roles),
    ...(row.details ? detailsOf(row.details, row.name) : [element("p", { class: "note" }, detailsLeftOut())]),
  ];
}

function detailsLeftOut() {
  return `Stages, repetitions and provenance of the first ${numberText(DATA.n_detailed)} schemes and variants are in this page; records.csv has those of all.`;
}

function pairs(entries) {
  return element("dl", {}, entries.filter(Boolean).map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
}

function rolesOf(roles) {
  return element("div", {}, element("h3", {}, "What each party does"),
    Object.entries(roles).map(([name, told]) =>
      element("div", { class: "role" }, element("h4", {}, name), told.role && element("p", {}, told.role),
        pairs(Object.entries(told).filter(([stage, text]) => stage !== "role" && text)))));
}

function detailsOf(details, name) {
  return [
    element("h3", {}, "Stages"),
    scrollBox(`What each stage of ${name} took`, stagesTable(details.stages)),
    element("h3", {}, "Every repetition"),
    element("div", { class: "strips" }, details.strips.map(strip)),
    details.dropouts.length > 0 && element("p", {}, `Dropped out: ${details.dropouts.join("; ")}`),
    element("h3", {}, "Where it was measured"),
    pairs(Object.entries(details.provenance)),
    element("h3", {}, "Measure it again"),
    element("pre", { tabindex: 0 }, element("code", {}, details.command)),
  ];
}

function stagesTable(stages) {
  const heads = ["Stage", "Part", "CPU", "Wall", "Sent", "Received", "Messages sent"];
  return element("table", { class: "stages" },
    element("caption", { class: "unseen" }, "Medians over repetitions and processes"),
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: head === "Part" && "text" }, head)))),
    element("tbody", {}, stages.map((one) =>
      element("tr", {}, element("th", { scope: "row" }, STAGE_TEXTS[one.stage] ?? one.stage), element("td", { class: "text" }, one.part),
        [secondsText(one.cpu_s), secondsText(one.wall_s), sizeText(one.payload_bytes_sent), sizeText(one.payload_bytes_received), numberText(one.messages_sent)]
          .map((text) => element("td", {}, text))))));
}

// Every value as a stroke, one line for each process; the median as a longer one.
function strip({ title, points, processes, n_points }) {
  const [width, lineHeight, left, right] = [460, 14, 8, 8];
  const [least, most] = [Math.min(...points), Math.max(...points)];
  const middle = [...points].sort((a, b) => a - b)[Math.floor(points.length / 2)];
  const lines = [...new Set(processes)].sort((a, b) => a - b);
  const height = 12 + lineHeight * lines.length;
  const at = (value) => left + (most > least ? (value - least) / (most - least) : 0.5) * (width - left - right);
  const spread = least > 0 ? `, largest ${roughText(most / least)} times the least` : "";
  const cut = n_points > points.length ? ` (${numberText(points.length)} of ${numberText(n_points)} drawn)` : "";
  const range = points.length > 1 ? `${secondsText(least)} to ${secondsText(most)}, median ${secondsText(middle)}${spread}` : secondsText(least);
  const told = `${range}; n = ${numberText(n_points)}${cut}`;
  return element("figure", { class: "strip" },
    element("figcaption", {}, element("b", {}, title), element("small", {}, told)),
    drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${told}` },
      drawn("line", { x1: at(middle), x2: at(middle), y1: 0, y2: height, class: "median" }),
      points.map((value, i) => {
        const y = 8 + lineHeight * lines.indexOf(processes[i]);
        return drawn("line", { x1: at(value), x2: at(value), y1: y, y2: y + 9, class: "stroke" });
      })));
}

function drawLeft(use, costs) {
  const infeasible = DATA.rows.filter((row) => costs.get(row).feasible !== true);
  const told = (name, text, href) => element("li", {}, href ? element("a", { href }, name) : element("b", {}, name), `: ${text}`);
  put(
    "left-body",
    element("h3", {}, `For this use: ${infeasible.length}`),
    element("p", { class: "note" }, useText(use)),
    infeasible.length
      ? element("ul", { class: "left" }, infeasible.map((row) => told(row.name, `${costs.get(row).feasible === null ? "unknown: " : ""}${costs.get(row).reasons.join("; ")}`, `#${sectionId(row)}`)))
      : element("p", {}, "Every scheme here is feasible."),
    element("h3", {}, `Failed or unavailable when it was measured: ${DATA.not_measured.length}`),
    DATA.not_measured.length
      ? element("ul", { class: "left" }, DATA.not_measured.slice(0, MOST_LINES * 2).map((job) => told(`${job.label}, ${job.dataset}, seed ${job.seed}`, `${job.status}: ${job.reason}`)),
          DATA.not_measured.length > MOST_LINES * 2 && element("li", {}, `and ${numberText(DATA.not_measured.length - MOST_LINES * 2)} more: summary.csv has all`))
      : element("p", {}, "No job failed."),
  );
}
