// What a measured job would cost a participant on a device: ppbench/modelled/device_cost.py, which says why it is so,
// from the same inputs. A modelled value is {best, low, high}; null is what the device cannot compute.

function deviceCost(inputs, device) {
  const online = onlineSeconds(inputs, device);
  const [offline, setup, train] = ["offline", "setup", "train"].map((stage) =>
    uncountedSeconds(inputs, inputs[stage], device),
  );
  const misfit = memoryMisfit(inputs, device);
  const inability = online === null ? computingInability(inputs, device) : "";
  return {
    online_s_per_sample: online,
    offline_s_per_sample: offline,
    setup_s: setup,
    train_s: train,
    energy_j_per_sample: joules(online && offline && sum(online, offline), device),
    setup_j: joules(setup, device),
    train_j: joules(train, device),
    feasible: !inability && !misfit,
    reason: inability || misfit || memoryCondition(inputs, device),
    ram_bytes: ramBytes(inputs),
    stored_ram_bytes: storedRamBytes(inputs),
    flash_bytes: flashBytes(inputs),
    measured_ram_bytes: inputs.growth_bytes,
  };
}

function sum(one, other) {
  return { best: one.best + other.best, low: one.low + other.low, high: one.high + other.high };
}

function joules(seconds, device) {
  if (seconds === null) return null;
  const { best, low, high } = seconds;
  return { best: best * device.power_w, low: low * device.power_w, high: high * device.power_w };
}

function onlineSeconds(inputs, device) {
  if (inputs.arithmetic !== "float" || inputs.macs === null) return uncountedSeconds(inputs, inputs.online, device);
  const { dense, convolution } = inputs.macs;
  const macsSeconds = dense / inputs.rates.float_mac.median + convolution / inputs.rates.convolution_mac.median;
  const { cpu_s, channel_s } = inputs.online;
  const beside = Math.max(0, cpu_s - macsSeconds);
  const least = Math.max(0, cpu_s - macsSeconds - channel_s);
  return sum(countedSeconds(inputs.macs, device), scaledSeconds(timesAsLong(inputs, device, "value"), beside, least));
}

function uncountedSeconds(inputs, stage, device) {
  const least = stage.cpu_s - stage.channel_s;
  if (inputs.arithmetic !== "float") {
    const times = timesAsLong(inputs, device, CONSTANTS.kernels[inputs.arithmetic][0]);
    return times && scaledSeconds(times, stage.cpu_s, least);
  }
  const values = timesAsLong(inputs, device, "value");
  const macs = timesAsLong(inputs, device, "float_mac");
  if (macs === null) return inputs.macs === null ? null : scaledSeconds(values, stage.cpu_s, least);
  return {
    best: stage.cpu_s * Math.sqrt(values.best * macs.best),
    low: least * Math.min(values.low, macs.low),
    high: stage.cpu_s * Math.max(values.high, macs.high),
  };
}

function countedSeconds(macs, device) {
  const inInt8 = sum(
    secondsFor(macs.dense, device, "dense_mac_per_s"),
    secondsFor(macs.convolution, device, "convolution_mac_per_s"),
  );
  if (device.float_mac_per_s === null) return inInt8;
  const inFloat = secondsFor(macs.dense + macs.convolution, device, "float_mac_per_s");
  return { ...inInt8, high: Math.max(inInt8.high, inFloat.high) };
}

function secondsFor(operations, device, figure) {
  const seconds = operations / device[figure];
  const factor = doubt(device, figure);
  return { best: seconds, low: seconds / factor, high: seconds * factor };
}

// How many times as long as the host the device takes for a kernel's operations.
function timesAsLong(inputs, device, kernel) {
  const figure = `${kernel}_per_s`;
  const rate = device[figure];
  if (rate === null) return null;
  const host = inputs.rates[kernel];
  const factor = doubt(device, figure);
  return { best: host.median / rate, low: host.low / rate / factor, high: (host.high / rate) * factor };
}

function doubt(device, figure) {
  return device.sources[figure].startsWith(CONSTANTS.assumption) ? CONSTANTS.assumption_factor : 1;
}

function scaledSeconds(times, host, leastHost) {
  return { best: host * times.best, low: leastHost * times.low, high: host * times.high };
}

function ramBytes(inputs) {
  if (inputs.resident_bytes !== null) return inputs.kept_bytes + inputs.resident_bytes;
  return Math.max(inputs.setup_message_bytes, inputs.kept_bytes + inputs.message_bytes);
}

function storedRamBytes(inputs) {
  return Math.max(ramBytes(inputs), inputs.keys_bytes + inputs.kept_bytes + inputs.message_bytes);
}

function flashBytes(inputs) {
  return inputs.downloaded_bytes / (inputs.macs === null ? 1 : CONSTANTS.float_bytes);
}

function computingInability(inputs, device) {
  const why = device.sources[`${CONSTANTS.kernels[inputs.arithmetic][0]}_per_s`];
  return `${device.title} cannot compute ${CONSTANTS.cannot[inputs.arithmetic]}: ${why}`;
}

function memoryMisfit(inputs, device) {
  if (ramBytes(inputs) > device.ram_bytes) {
    const parts =
      inputs.resident_bytes === null
        ? [["keys", inputs.setup_message_bytes], ["preprocessing", inputs.kept_bytes], ["a message", inputs.message_bytes]]
        : [["preprocessing", inputs.kept_bytes], ["what the protocol holds", inputs.resident_bytes]];
    const [what, most] = parts.reduce((largest, part) => (part[1] > largest[1] ? part : largest));
    return (
      `needs at least ${sizeText(ramBytes(inputs))} of RAM (${sizeText(most)} for ${what}); ` +
      `${device.title} has ${sizeText(device.ram_bytes)}`
    );
  }
  if (flashBytes(inputs) > device.flash_bytes) {
    return (
      `downloads at least ${sizeText(flashBytes(inputs))} to keep; ` +
      `${device.title} has ${sizeText(device.flash_bytes)} of flash`
    );
  }
  return "";
}

function memoryCondition(inputs, device) {
  const conditions = [];
  if (inputs.downloaded_bytes > device.flash_bytes) {
    conditions.push(
      `only with weights in int8: as it is sent, the network takes ${sizeText(inputs.downloaded_bytes)}; ` +
        `${device.title} has ${sizeText(device.flash_bytes)} of flash`,
    );
  }
  if (storedRamBytes(inputs) > device.ram_bytes) {
    conditions.push(
      `only with keys and messages made piece by piece, in ${sizeText(ramBytes(inputs))} of RAM: stored, ` +
        `they take ${sizeText(storedRamBytes(inputs))}; ${device.title} has ${sizeText(device.ram_bytes)}`,
    );
  }
  return conditions.join("; ");
}
