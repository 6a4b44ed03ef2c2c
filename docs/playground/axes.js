// What all cells share: the axes, and how parameters are described.
//
// Axes: B sequences, T time steps, H units, I symbols, C classes, K lags. States h are
// (B, T + 1, H), of which the first of each sequence is zero; delta, ∂ℓ/∂h[t], likewise.
"use strict";

const H = 16, I = SYMBOLS.length, C = CLASSES.length, LAGS = 2;

/** Describe a matrix that is drawn like the weight of torch.nn.Linear. */
function linear(rows, columns, role) {
  return { shape: [rows, columns], role, fan: columns };
}

/** Describe the gains of a normalization. */
function gains(count) {
  return { shape: [count], role: "gain" };
}
