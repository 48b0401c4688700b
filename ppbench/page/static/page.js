// Puts the page together, and draws again what depends on the use when the reader changes it.

function update() {
  const use = currentUse();
  const costs = costsFor(use);
  drawVerdict(use, costs);
  drawTable(use, costs, update);
  drawPareto(costs);
  drawPlane(use, costs);
  drawSections(use, costs);
  drawLeft(use, costs);
}

// A link to a scheme's section opens it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}

function drawFoot() {
  put(
    "foot",
    element("p", {}, DATA.origin),
    element("p", {}, "Measured: by the kernel’s clocks on that machine. Counted: exactly determined. Modelled: computed from these for a device and a link that nobody ran it on; each figure’s source is under “Figures of this device and link”."),
    element("p", {}, `ppbench ${DATA.version}. This file asks nobody for anything: it can be sent, kept and printed.`),
  );
}

for (const input of document.querySelectorAll("#theme input")) {
  input.addEventListener("change", () => {
    document.documentElement.dataset.theme = input.value;
  });
}
let drawnWidth = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (document.documentElement.clientWidth === drawnWidth) return;
  drawnWidth = document.documentElement.clientWidth;
  const use = currentUse();
  const costs = costsFor(use);
  drawPareto(costs);
  drawPlane(use, costs);
});
addEventListener("hashchange", openTarget);
drawChoice(update);
drawFilters(update);
drawParetoChoice(update);
drawTree();
drawClaims();
drawFoot();
update();
openTarget();
