// exp and what is made of it, by + - * / and bits: so a link shows the same curve in every browser,
// whose own functions round differently.
"use strict";

const PER_TURN = 1.4426950408889634; // 1 / ln 2
const HIGH = 0.6931471803691238, LOW = 1.9082149292705877e-10; // ln 2 in two parts (Cody & Waite 1980)
const GROWTH = [1]; // the series of (eʳ - 1) / r, highest power first, for |r| <= ln 2 / 2
for (let n = 2; n <= 13; n++) GROWTH.unshift(GROWTH[0] / n);

const power = new Float64Array(1), bitsOfPower = new Uint32Array(power.buffer);

/** Compute 2ⁿ for an integer n, from its bits. */
function powerOfTwo(n) {
  bitsOfPower[1] = (n + 1023) << 20;
  return power[0];
}

/** Compute eˣ, clamped to the range of normal numbers; NaN stays NaN. */
function exp(x) {
  if (x !== x) return NaN;
  const clamped = Math.max(-708, Math.min(709, x)), n = Math.round(clamped * PER_TURN);
  const r = clamped - n * HIGH - n * LOW;
  let series = 0;
  for (let i = 0; i < GROWTH.length; i++) series = series * r + GROWTH[i];
  return powerOfTwo(n) * (1 + r * series);
}

/** Compute σ(x) = 1 / (1 + e⁻ˣ). */
function sigmoid(x) {
  return 1 / (1 + exp(-x));
}

/** Compute tanh x = (e²ˣ - 1) / (e²ˣ + 1). */
function tanh(x) {
  const growth = exp(2 * Math.max(-20, Math.min(20, x)));
  return (growth - 1) / (growth + 1);
}

/** Turn n scores into shares of 1, in place: a = softargmax(a). */
function softargmax(a, at, n) {
  let top = a[at], whole = 0;
  for (let i = 1; i < n; i++) top = Math.max(top, a[at + i]);
  for (let i = 0; i < n; i++) whole += a[at + i] = exp(a[at + i] - top);
  for (let i = 0; i < n; i++) a[at + i] /= whole;
}
