// What a measured job would take on a link: ppbench/modelled/link_cost.py, which says why it is so, from the same
// inputs, and the rates and the delay on the link as ppbench/launch/link.py makes them of its figures.

function linkCost(batches, link) {
  if (batches === null) return null;
  const seconds = addedSeconds(batches.load, link);
  const perSample = (seconds * batches.n_batches) / batches.n_answers;
  const feasible = perSample <= CONSTANTS.feasible_s_per_sample;
  return {
    latency_s_per_batch: batches.latency_s + seconds,
    link_s_per_batch: seconds,
    link_s_per_sample: perSample,
    energy_j_per_sample: (radioJoules(batches.load, link) * batches.n_batches) / batches.n_answers,
    feasible,
    reason: feasible ? "" : linkReason(perSample, "a sample", link),
  };
}

// Of setup or training; null where there is none, or nobody knows its steps.
function onceCost(load, link, ofWhat) {
  if (load === null) return null;
  const seconds = addedSeconds(load, link);
  const feasible = seconds <= CONSTANTS.feasible_once_s;
  return {
    link_s: seconds,
    energy_j: radioJoules(load, link),
    feasible,
    reason: feasible ? "" : linkReason(seconds, ofWhat, link),
  };
}

function addedSeconds(load, link) {
  return transferSeconds(load, link) / link.duty_cycle + travelSeconds(load, link);
}

function transferSeconds(load, link) {
  const shape = shapeOf(link);
  const { up, down } = linkBytes(load, link);
  const [upSeconds, downSeconds] = [(8 * up) / shape.up_bit_per_s, (8 * down) / shape.down_bit_per_s];
  return load.at_once && link.duplex === "full" ? Math.max(upSeconds, downSeconds) : upSeconds + downSeconds;
}

function travelSeconds(load, link) {
  return load.steps * shapeOf(link).delay_s;
}

function radioJoules(load, link) {
  const { up, down } = linkBytes(load, link);
  return (
    8 * up * link.energy_sent_j_per_bit +
    8 * down * link.energy_received_j_per_bit +
    link.base_power_w * (transferSeconds(load, link) + travelSeconds(load, link))
  );
}

function linkBytes(load, link) {
  const up = packetsOf(load.up_bytes, load.up_messages, link);
  const down = packetsOf(load.down_bytes, load.down_messages, link);
  if (link.duplex === "full") return { up: up.bytes, down: down.bytes };
  // A message's last packet is acknowledged with what is sent next, or after it.
  const acknowledgement = frameBytes(CONSTANTS.packet_header_bytes, link) / 2;
  return {
    up: up.bytes + Math.max(0, down.packets - load.down_messages) * acknowledgement,
    down: down.bytes + Math.max(0, up.packets - load.up_messages) * acknowledgement,
  };
}

function packetsOf(payloadBytes, nMessages, link) {
  if (!payloadBytes) return { packets: 0, bytes: 0 };
  const messages = Math.max(1, nMessages);
  const ofOne = payloadBytes / messages;
  const rest = ofOne % CONSTANTS.payload_bytes;
  const full = Math.round((ofOne - rest) / CONSTANTS.payload_bytes);
  let bytes = full * frameBytes(CONSTANTS.payload_bytes + CONSTANTS.packet_header_bytes, link);
  if (rest) bytes += frameBytes(Math.ceil(rest) + CONSTANTS.packet_header_bytes, link);
  return { packets: messages * (full + (rest ? 1 : 0)), bytes: messages * bytes };
}

function frameBytes(packetBytes, link) {
  return packetBytes + Math.ceil(packetBytes / link.mtu_bytes) * link.header_bytes_per_frame;
}

function shapeOf(link) {
  const overhead =
    frameBytes(CONSTANTS.payload_bytes + CONSTANTS.packet_header_bytes, link) / CONSTANTS.payload_bytes;
  const emptyBits = 8 * frameBytes(CONSTANTS.packet_header_bytes, link);
  const up = link.goodput_up_bit_per_s * overhead;
  const down = link.goodput_down_bit_per_s * overhead;
  return {
    up_bit_per_s: up,
    down_bit_per_s: down,
    delay_s: Math.max(0, link.rtt_s - emptyBits / up - emptyBits / down) / 2,
  };
}

function linkReason(seconds, ofWhat, link) {
  const share = (100 * link.duty_cycle).toFixed(1);
  const cause = link.duty_cycle < 1 ? `${link.title} may send ${share}% of the time` : link.title;
  return `not feasible: ${(seconds / 3600).toFixed(1)} hours ${ofWhat}; ${cause}`;
}
