// The plane of computation and communication for the device and link picked, with the labels' borders on the reference
// device as its shades.

const ROOM_FOR_NAMES = 560;

function drawPlane(use, costs) {
  const holder = document.getElementById("plane");
  const wide = widthOf(holder) > ROOM_FOR_NAMES;
  const points = DATA.rows
    .filter((row) => isShown(row, costs.get(row)))
    .map((row) => ({ row, cost: costs.get(row), load: row.inputs.batches }))
    .filter(({ row, cost, load }) => cost.device_s_per_sample && load && row.inputs.payload_bytes_per_sample)
    .map(({ row, cost }) => ({
      row,
      x: cost.device_s_per_sample.best,
      low: cost.device_s_per_sample.low || null,
      high: cost.device_s_per_sample.high,
      y: row.inputs.payload_bytes_per_sample,
      hollow: cost.feasible === false,
      named: wide || row.is_baseline,
      told: `${secondsText(cost.device_s_per_sample.best)} on the device, ${sizeText(row.inputs.payload_bytes_per_sample)} for a sample${cost.feasible === false ? ", not feasible for this use" : ""}`,
    }));
  if (!points.length) {
    holder.replaceChildren();
    return;
  }
  holder.replaceChildren(
    element("h3", {}, `Computation and communication: ${use.device.title}, ${use.link.title}`),
    scatter({
      label: "Bytes against time on the device, for a sample",
      axes: {
        x: { title: "Time on the device (modelled, with its range)", text: secondsText, log: true },
        y: { title: "Bytes for a sample (counted)", text: sizeText, log: true },
      },
      points,
      under: bordersOf,
      width: widthOf(holder),
    }),
    familyLegend(points.map(({ row }) => row), "hollow: not feasible for this use"),
    element("p", { class: "note" },
      `Shades: below ${secondsText(DATA.thresholds.low_below_s)}, from there, and above ${secondsText(DATA.thresholds.high_above_s)}, which on a ${DATA.reference_device} count for low, medium and high computation.`),
  );
}

function bordersOf(x, y, { left, right, top, bottom }) {
  const inside = (seconds) => Math.min(right, Math.max(left, x.at(seconds)));
  const edges = [left, inside(DATA.thresholds.low_below_s), inside(DATA.thresholds.high_above_s), right];
  return ["low", "medium", "high"].map((name, i) => {
    const width = edges[i + 1] - edges[i];
    return [
      drawn("rect", { x: edges[i], y: top, width, height: bottom - top, class: `shade ${["mild", "middle", "severe"][i]}` }),
      width > 60 && drawn("text", { x: edges[i] + 6, y: top + 14, class: "shade-name" }, name),
    ];
  });
}
