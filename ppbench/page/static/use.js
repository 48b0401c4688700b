// What a job would cost in a use, that is a device, a link, samples a day, a battery and a number of devices:
// ppbench/modelled/use.py, from the same inputs. What a device takes while it sleeps is not modelled.

const DAY_S = 86400;
const MONTH_DAYS = 30;
const TERABYTE = 1e12;

function useCost(inputs, use) {
  const { device, link, samples_per_day, battery_j, n_devices } = use;
  const onDevice = inputs.compute && deviceCost(inputs.compute, device);
  const onLink = linkCost(inputs.batches, link);
  const once = [onceCost(inputs.setup, link, "of setup"), onceCost(inputs.train, link, "of training")];
  const computing = onDevice?.online_s_per_sample ? sum(onDevice.online_s_per_sample, onDevice.offline_s_per_sample) : null;
  const perSample = computing && onLink ? onDevice.energy_j_per_sample.best + onLink.energy_j_per_sample : null;
  const onceJoules = computing && onceEnergy(onDevice, once);
  const busy = computing && onLink ? samples_per_day * (computing.best + onLink.link_s_per_sample) : null;
  const reasons = onDevice ? [...reasonsAgainst(use, onDevice, onLink, once, busy)] : [];
  return {
    on_device: onDevice,
    device_s_per_sample: computing,
    link_s_per_sample: onLink && onLink.link_s_per_sample,
    j_per_sample: perSample,
    once_j: onceJoules,
    battery_days: perSample ? Math.max(0, battery_j - onceJoules) / (samples_per_day * perSample) : null,
    busy_s_per_day: busy,
    coordinator_cores: (n_devices * samples_per_day * inputs.others_cpu_s_per_sample) / DAY_S,
    terabytes_per_month: (n_devices * samples_per_day * MONTH_DAYS * inputs.payload_bytes_per_sample) / TERABYTE,
    // Null where the job's host was not calibrated, so that nobody knows.
    feasible: onDevice ? reasons.length === 0 : null,
    reasons: onDevice ? reasons : [inputs.why_no_compute],
    condition: onDevice?.feasible ? onDevice.reason : "",
    left_out: leftOut(inputs, once),
  };
}

function onceEnergy(onDevice, once) {
  return onDevice.setup_j.best + onDevice.train_j.best + once.reduce((total, cost) => total + (cost?.energy_j ?? 0), 0);
}

function* reasonsAgainst({ samples_per_day }, onDevice, onLink, once, busy) {
  if (!onDevice.feasible) yield onDevice.reason;
  if (onLink === null) yield "answers no samples";
  for (const cost of [onLink, ...once]) if (cost && !cost.feasible) yield cost.reason.replace("not feasible: ", "");
  if (busy > DAY_S) {
    yield `${numberText(samples_per_day)} samples a day keep device and link busy for ${apart((busy / 3600).toFixed(1))} hours a day`;
  }
}

function leftOut({ offline_payload_bytes_per_sample, trained_with_bytes }, [, training]) {
  const parts = [];
  if (offline_payload_bytes_per_sample) {
    parts.push(`preprocessing moves ${sizeText(offline_payload_bytes_per_sample)} a sample ahead of it`);
  }
  if (training === null && trained_with_bytes) {
    parts.push("nobody counted the steps of training, which an older version measured");
  }
  return parts.join("; ");
}
