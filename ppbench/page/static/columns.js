// The columns of the table, which are the axes of the pictures too. `better` is 1 where more is better, -1 where less
// is.

const COLUMNS = [
  {
    key: "accuracy", title: "Accuracy", kind: "measured", better: 1, errors: true, of: (row) => row.measured.accuracy,
    text: percentText, beside: (row) => isKnown(row.measured.n_samples) && `n = ${numberText(row.measured.n_samples)}`,
  },
  {
    key: "reconstruction", title: "Recon\u00adstruction error", axis: "Error of what the coordinator reconstructs", kind: "measured, MSE", better: 1, log: true,
    of: (row) => row.measured.reconstruction_mse, text: roughText, ofSome: true,
  },
  {
    key: "time", title: "Device time", axis: "Time on the device for a sample", kind: "modelled", better: -1, log: true,
    of: (row, cost) => cost.device_s_per_sample?.best, text: durationText, tick: secondsText, range: (row, cost) => cost.device_s_per_sample,
  },
  {
    key: "bytes", title: "Bytes", axis: "Bytes for a sample, both ways", kind: "counted", better: -1, log: true,
    of: (row) => row.inputs.batches && row.inputs.payload_bytes_per_sample, text: sizeText,
  },
  { key: "rounds", title: "Rounds", kind: "counted", better: -1, log: true, of: (row) => row.measured.rounds, text: numberText },
  {
    key: "energy", title: "Energy", axis: "Energy for a sample", kind: "modelled", better: -1, log: true,
    of: (row, cost) => cost.j_per_sample, text: energyText,
  },
  {
    key: "battery", title: "Battery lasts", kind: "modelled", better: 1, log: true,
    of: (row, cost) => cost.battery_days, text: (days) => longTimeText(isKnown(days) ? days * DAY_S : null),
  },
  {
    key: "memory", title: "RAM", axis: "RAM, at least", kind: "counted, at least", better: -1, log: true,
    of: (row, cost) => cost.on_device?.ram_bytes, text: sizeText,
  },
  {
    key: "cores", title: "Cloud cores", axis: "Coordinator cores", kind: "modelled", better: -1, log: true,
    of: (row, cost) => cost.coordinator_cores, text: roughText, ofMany: true,
  },
  {
    key: "traffic", title: "Traffic a month", kind: "modelled", better: -1, log: true,
    of: (row, cost) => cost.terabytes_per_month, text: (terabytes) => trafficText(terabytes * TERABYTE), ofMany: true,
  },
];

const KNOWN_COLUMNS = COLUMNS.filter(({ ofSome, of }) => !ofSome || DATA.rows.some((row) => isKnown(of(row))));

// What a table begins with and a picture shows: energy, if there is a job that it can be modelled from.
const MAIN_COLUMN = DATA.rows.some(({ inputs }) => inputs.compute) ? "energy" : "bytes";

// What one device makes of the coordinator is next to nothing, so that these columns are for many; and what was measured
// of no scheme here has no column.
function columnsFor({ n_devices }) {
  return KNOWN_COLUMNS.filter(({ ofMany }) => !ofMany || n_devices > 1);
}

function column(key) {
  return COLUMNS.find((one) => one.key === key);
}

// All that the page says of its rows for a use: row -> cost.
function costsFor(use) {
  return new Map(DATA.rows.map((row) => [row, useCost(row.inputs, use)]));
}

function valueOf(key, row, cost) {
  return column(key).of(row, cost) ?? null;
}
