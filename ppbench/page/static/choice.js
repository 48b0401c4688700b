// The use that all costs are for: the reader's device, link, samples a day, battery and number of devices.

const FIGURES = {
  dense_mac_per_s: "Dense multiply-accumulates per second",
  convolution_mac_per_s: "Convolution multiply-accumulates per second",
  float_mac_per_s: "Multiply-accumulates in float32 per second",
  word_mac_per_s: "Multiply-accumulates modulo 2^64 per second",
  butterfly_per_s: "NTT butterflies per second",
  value_per_s: "Bytes of samples made values per second",
  ram_bytes: "RAM, bytes",
  flash_bytes: "Flash, bytes",
  power_w: "Power while computing, W",
  goodput_up_bit_per_s: "Goodput up, bit/s",
  goodput_down_bit_per_s: "Goodput down, bit/s",
  rtt_s: "Round-trip time, s",
  mtu_bytes: "Bytes of a packet in one frame",
  header_bytes_per_frame: "Header bytes of a frame",
  duplex: "Duplex",
  energy_sent_j_per_bit: "Energy per bit sent, J",
  energy_received_j_per_bit: "Energy per bit received, J",
  base_power_w: "Radio’s base power, W",
  duty_cycle: "Duty cycle, share of time",
};
const MAY_BE_EMPTY = ["float_mac_per_s", "word_mac_per_s", "butterfly_per_s"];
const MAY_BE_ZERO = ["rtt_s", "header_bytes_per_frame", "energy_sent_j_per_bit", "energy_received_j_per_bit", "base_power_w"];
const MOST_FIGURE = { mtu_bytes: 1500, duty_cycle: 1 };
const WHOLE_FIGURES = ["mtu_bytes", "header_bytes_per_frame"];
const YOUR_OWN = "your own figure";
const JOULES_PER_WH = 3600;

const choice = {
  device: DATA.devices.find(({ title }) => title === DATA.reference_device) ?? DATA.devices[0],
  link: DATA.links.find(({ name }) => name === "lte_m") ?? DATA.links[0],
  own: { device: {}, link: {} },
  samples_per_day: 24,
  battery_wh: 10,
  n_devices: 1,
};

function currentUse() {
  return {
    device: withOwn("device"),
    link: withOwn("link"),
    samples_per_day: choice.samples_per_day,
    battery_j: choice.battery_wh * JOULES_PER_WH,
    n_devices: choice.n_devices,
  };
}

function withOwn(kind) {
  const own = choice.own[kind];
  const base = choice[kind];
  const changed = Object.keys(own);
  if (!changed.length) return base;
  const sources = { ...base.sources, ...Object.fromEntries(changed.map((figure) => [figure, YOUR_OWN])) };
  return { ...base, ...own, title: `${base.title} with figures of your own`, sources };
}

function useText({ device, link, samples_per_day, battery_j, n_devices }) {
  const many = n_devices === 1 ? "" : `${numberText(n_devices)} × `;
  const day = samples_per_day === 1 ? "one sample a day" : `${numberText(samples_per_day)} samples a day`;
  return `${many}${device.title} over ${link.title}, ${day}, a battery of ${numberText(battery_j / JOULES_PER_WH)} Wh`;
}

function drawChoice(changed) {
  const form = document.getElementById("choice");
  const figures = element("div", { class: "figures" });
  const redrawFigures = () => figures.replaceChildren(...["device", "link"].map((kind) => ownFigures(kind, changed)));
  const picked = (kind, name) => {
    choice[kind] = DATA[`${kind}s`].find((one) => one.name === name);
    choice.own[kind] = {};
    redrawFigures();
    changed();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.replaceChildren(
    element(
      "div",
      { class: "fields" },
      picker("Device", DATA.devices, choice.device, (name) => picked("device", name)),
      picker("Link", DATA.links, choice.link, (name) => picked("link", name)),
      amount("Samples a day", "samples_per_day", 1e-3, 1e9, changed),
      amount("Battery, Wh", "battery_wh", 1e-6, 1e9, changed),
      amount("Devices", "n_devices", 1, 1e8, changed),
    ),
    element(
      "details",
      { class: "own" },
      element("summary", {}, "Figures of this device and link: change them to yours"),
      figures,
    ),
  );
  redrawFigures();
}

function picker(label, all, chosen, picked) {
  const options = all.map(({ name, title }) =>
    element("option", { value: name, selected: name === chosen.name }, title),
  );
  const select = element("select", { name: label.toLowerCase(), change: () => picked(select.value) }, options);
  return element("label", { class: "field wide" }, element("span", {}, label), select);
}

function amount(label, key, least, most, changed) {
  return numberField(label, choice[key], { least, most, whole: key === "n_devices", name: key }, (value) => {
    choice[key] = value;
    changed();
  });
}

// What is no number in the range is told and not used: the last good one counts.
function numberField(label, value, { least, most, whole = false, empty = false, above = false, name, source }, accepted) {
  const range = `${whole ? "a whole number" : "a number"} ${above ? "above" : "from"} ${numberText(least)}${
    most < Infinity ? ` to ${numberText(most)}` : ""
  }${empty ? ", or nothing where it cannot" : ""}`;
  const fault = element("small", { class: "fault", role: "alert" });
  const input = element("input", {
    type: "text",
    inputmode: "decimal",
    name,
    value: value === null ? "" : value,
    input: () => {
      const text = input.value.trim();
      const number = Number(text);
      const isEmpty = text === "";
      const good = isEmpty
        ? empty
        : Number.isFinite(number) && number <= most && (above ? number > least : number >= least) && (!whole || Number.isInteger(number));
      input.setAttribute("aria-invalid", String(!good));
      fault.textContent = good ? "" : `must be ${range}`;
      if (good) accepted(isEmpty ? null : number);
    },
  });
  return element("label", { class: "field" }, element("span", {}, label), input, source && element("small", {}, source), fault);
}

function ownFigures(kind, changed) {
  const base = choice[kind];
  const set = (figure, value) => {
    if (value === base[figure]) delete choice.own[kind][figure];
    else choice.own[kind][figure] = value;
    changed();
  };
  const fields = Object.keys(base.sources).map((figure) =>
    figure === "duplex" ? duplexField(base, set) : figureField(base, figure, set),
  );
  return element("fieldset", {}, element("legend", {}, base.title), element("div", { class: "fields" }, fields));
}

function figureField(base, figure, set) {
  const zero = MAY_BE_ZERO.includes(figure);
  const limits = {
    least: 0,
    most: MOST_FIGURE[figure] ?? Infinity,
    above: !zero,
    whole: WHOLE_FIGURES.includes(figure),
    empty: MAY_BE_EMPTY.includes(figure),
    name: figure,
    source: base.sources[figure],
  };
  return numberField(FIGURES[figure] ?? figure, base[figure], limits, (value) => set(figure, value));
}

function duplexField(base, set) {
  const options = ["full", "half"].map((way) => element("option", { value: way, selected: way === base.duplex }, way));
  const select = element("select", { name: "duplex", change: () => set("duplex", select.value) }, options);
  return element("label", { class: "field" }, element("span", {}, FIGURES.duplex), select, element("small", {}, base.sources.duplex));
}
