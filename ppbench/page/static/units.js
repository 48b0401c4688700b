// Numbers as people read them, as ppbench/units.py writes them; a dash stands for what was not measured.

const NOT_MEASURED = "\u2013";

const SECONDS = [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"]];
const JOULES = [[1e-9, "nJ"], [1e-6, "µJ"], [1e-3, "mJ"], [1, "J"], [1e3, "kJ"]];
const BYTES = [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"]];
const TRAFFIC = [...BYTES, [1e12, "TB"], [1e15, "PB"]];
const LONG_TIMES = [[1, "s"], [60, "min"], [3600, "h"], [86400, "days"], [365.25 * 86400, "years"]];
const LONGEST_YEARS = 100;

function isKnown(value) {
  return value !== null && value !== undefined;
}

function secondsText(value) {
  return scaled(value, SECONDS);
}

function sizeText(value) {
  return scaled(value, BYTES);
}

function energyText(value) {
  return value === 0 ? "0 J" : scaled(value, JOULES);
}

function percentText(value) {
  return isKnown(value) ? `${(100 * value).toFixed(2)} %` : NOT_MEASURED;
}

// A plain number of up to six digits, or whole, with thousands apart.
function numberText(value) {
  if (!isKnown(value)) return NOT_MEASURED;
  const [whole, rest] = String(Math.abs(value) < 1e6 ? Number(value.toPrecision(6)) : Math.round(value)).split(".");
  return apart(whole) + (rest ? `.${rest}` : "");
}

// Thousands of the digits before a point.
function apart(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
}

// A plain number of three digits, for amounts that are modelled.
function roughText(value) {
  if (!isKnown(value)) return NOT_MEASURED;
  return value > 0 && value < 0.001 ? "< 0.001" : numberText(Number(value.toPrecision(3)));
}

function trafficText(value) {
  return scaled(value, TRAFFIC);
}

// A time that may be long, such as "3.2 years"; no battery is kept for longer than the longest.
function longTimeText(value) {
  if (!isKnown(value)) return NOT_MEASURED;
  if (value > LONGEST_YEARS * 365.25 * 86400) return `> ${LONGEST_YEARS} years`;
  const [scale, unit] = LONG_TIMES.findLast(([least]) => value >= least) ?? LONG_TIMES[0];
  return scale === 1 ? secondsText(value) : `${roughText(value / scale)} ${unit}`;
}

// A time for a sample: of seconds up to two minutes, then of what is longer.
function durationText(value) {
  return value > 120 ? longTimeText(value) : secondsText(value);
}

function scaled(value, units) {
  if (!isKnown(value)) return NOT_MEASURED;
  if (value === 0) return `0 ${units[0][1] === "B" ? "B" : "s"}`;
  // 999.6 is rounded to 1000 by three digits, so the unit is chosen from what will be shown.
  const shown = Number(value.toPrecision(3));
  const [scale, unit] = units.findLast(([least]) => Math.abs(shown) >= least) ?? units[0];
  return `${threeDigits(shown / scale)} ${unit}`;
}

function threeDigits(value) {
  const nWhole = Math.max(1, Math.floor(Math.log10(Math.abs(value)) + 1e-9) + 1);
  return value.toFixed(Math.max(0, 3 - nWhole));
}
