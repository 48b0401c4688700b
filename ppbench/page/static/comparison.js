// Who is at least as good as whom in every column, and who stands on the edge of two.

const FEASIBLE_RANK = new Map([[true, 2], [null, 1], [false, 0]]);

// The baselines that are at least as good in every column, on the same data set, and better in some.
function beatenBy(row, columns, costs) {
  if (row.is_baseline) return [];
  return DATA.rows.filter(
    (other) => other.is_baseline && other.dataset === row.dataset && isBeaten(row, other, columns, costs),
  );
}

function isBeaten(row, other, columns, costs) {
  const [own, its] = [costs.get(row), costs.get(other)];
  if (FEASIBLE_RANK.get(its.feasible) < FEASIBLE_RANK.get(own.feasible)) return false;
  let better = false;
  // What was measured of some alone tells nothing of the others.
  for (const one of columns.filter(({ ofSome }) => !ofSome)) {
    const [mine, theirs] = [valueOf(one.key, row, own), valueOf(one.key, other, its)];
    if (mine === null || theirs === null) return false;
    const ahead = one.better * (theirs - mine);
    if (ahead < 0) return false;
    better ||= ahead > 0;
  }
  return better;
}

function beatenText(baselines) {
  return baselines.length ? `In no column better than ${baselines.map(nameHere).join("; ")}` : "";
}

// Of points {x, y}, those that no other one is at least as good as in both and better in one, from left to right.
function frontier(points, betterX, betterY) {
  const beats = (one, other) => {
    const [dx, dy] = [betterX * (one.x - other.x), betterY * (one.y - other.y)];
    return dx >= 0 && dy >= 0 && (dx > 0 || dy > 0);
  };
  return points.filter((point) => !points.some((other) => beats(other, point))).sort((a, b) => a.x - b.x || a.y - b.y);
}
