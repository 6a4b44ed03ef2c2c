// Philox4x32-10: random words as a pure function of a key and a counter.
// Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", §4.
"use strict";

const MULTIPLIER_0 = 0xd2511f53, MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9, WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const WORD = 2 ** 32;

/** Return the upper 32 bits of a product of two words, from products of halves. */
function upperHalf(a, b) {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** Encrypt a counter of four words under a key below 2³²: four words, uniform on [0, 2³²). */
function philox(key, c0, c1, c2, c3) {
  let k0 = key >>> 0, k1 = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = upperHalf(MULTIPLIER_0, c0), low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = upperHalf(MULTIPLIER_1, c2), low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    [c0, c1] = [(high1 ^ c1 ^ k0) >>> 0, low1];
    [c2, c3] = [(high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Map a word to an integer of the half-open range [low, high). */
function integer(word, [low, high]) {
  return Math.floor((word * (high - low)) / WORD) + low;
}
