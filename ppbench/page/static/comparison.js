// Who is at least as good as whom in every column, and who stands on the edge of two.

const COMPARED = COLUMNS.filter(({ better }) => better).map(({ key }) => key);
const FEASIBLE_RANK = new Map([[true, 2], [null, 1], [false, 0]]);

// The baselines that are at least as good in every column, on the same data set, and better in some.
function beatenBy(row, costs) {
  if (row.is_baseline) return [];
  return DATA.rows.filter(
    (other) => other.is_baseline && other.dataset === row.dataset && isBeaten(row, other, costs),
  );
}

function isBeaten(row, other, costs) {
  const [own, its] = [costs.get(row), costs.get(other)];
  if (FEASIBLE_RANK.get(its.feasible) < FEASIBLE_RANK.get(own.feasible)) return false;
  let better = false;
  for (const key of COMPARED) {
    const [mine, theirs] = [valueOf(key, row, own), valueOf(key, other, its)];
    if (mine === null || theirs === null) return false;
    const ahead = column(key).better * (theirs - mine);
    if (ahead < 0) return false;
    better ||= ahead > 0;
  }
  return better;
}

function beatenText(baselines) {
  const names = baselines.map(({ name, scheme }) => {
    const protects = DATA.schemes[scheme]?.protects;
    return protects === "nothing" ? `${name} (which protects nothing)` : name;
  });
  return names.length ? `No better in any column than ${names.join(" and ")}` : "";
}

// Of points {x, y}, those that no other one is at least as good as in both and better in one, from left to right.
function frontier(points, betterX, betterY) {
  const beats = (one, other) => {
    const [dx, dy] = [betterX * (one.x - other.x), betterY * (one.y - other.y)];
    return dx >= 0 && dy >= 0 && (dx > 0 || dy > 0);
  };
  return points.filter((point) => !points.some((other) => beats(other, point))).sort((a, b) => a.x - b.x || a.y - b.y);
}
