// The paper's claims, each with what came of it here.

const VERDICT_CLASSES = { reproduced: "mild", "not reproduced": "severe", undecided: "middle" };

function drawClaims() {
  if (!DATA.claims.length) {
    put("claims-body", element("p", { class: "note" }, "Nothing here is about the paper’s claims."));
    return;
  }
  put(
    "claims-body",
    element("ol", { class: "claims" }, DATA.claims.map((claim) =>
      element(
        "li",
        {},
        element("p", { class: "claim" }, element("span", {}, claim.claim[0].toUpperCase() + claim.claim.slice(1)), " ",
          element("span", { class: `chip ${VERDICT_CLASSES[claim.verdict]}` }, claim.verdict)),
        element("p", {}, `Paper, ${claim.where}: ${claim.paper}. About ${aboutText(claim)}.`),
        claim.reason && element("p", {}, `${claim.verdict === "undecided" ? "Why" : "Note"}: ${claim.reason}.`),
        element("details", {}, element("summary", {}, "Measured here"), element("p", {}, claim.measured)),
      ))),
  );
}

function aboutText({ dataset, model }) {
  return dataset === "any" && model === "any" ? "any data set and model" : `${dataset} with ${model}`;
}
