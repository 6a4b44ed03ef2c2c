// Products of a matrix, row by row in one array, with vectors that begin somewhere in another array.
"use strict";

/** The type of all stored numbers: float32, as in the bench; sums in between are float64. */
const Numbers = Float32Array;

/** Compute out = W x for W (rows × columns), columns a multiple of 4. */
function product(W, x, xAt, out, outAt, rows, columns) {
  for (let i = 0, w = 0; i < rows; i++) {
    let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0; // which the processor computes at once
    for (let j = xAt; j < xAt + columns; j += 4, w += 4) {
      sum0 += W[w] * x[j];
      sum1 += W[w + 1] * x[j + 1];
      sum2 += W[w + 2] * x[j + 2];
      sum3 += W[w + 3] * x[j + 3];
    }
    out[outAt + i] = sum0 + sum1 + (sum2 + sum3);
  }
}

/** Compute out = W x for the one-hot vector x of a symbol; padding is the zero vector. */
function inputColumn(W, symbol, out, outAt, rows, columns) {
  for (let i = 0; i < rows; i++) out[outAt + i] = symbol < columns ? W[i * columns + symbol] : 0;
}

/**
 * Go back through a product W h: from d, the derivative of W h, add d hᵀ to the gradient g of W, and
 * Wᵀ d to delta, the derivative of h; both h and delta begin at an index of their arrays.
 */
function productBackward(W, g, d, h, delta, at, rows, columns) {
  for (let i = 0; i < rows; i += 4) { // four rows at once, so that h and delta are read less often
    const d0 = d[i], d1 = d[i + 1], d2 = d[i + 2], d3 = d[i + 3];
    for (let j = 0; j < columns; j++) {
      const w0 = i * columns + j, w1 = w0 + columns, w2 = w1 + columns, w3 = w2 + columns;
      const state = h[at + j];
      g[w0] += d0 * state;
      g[w1] += d1 * state;
      g[w2] += d2 * state;
      g[w3] += d3 * state;
      delta[at + j] += W[w0] * d0 + W[w1] * d1 + (W[w2] * d2 + W[w3] * d3);
    }
  }
}

/** Go back through `inputColumn`: add d xᵀ to the gradient of W. */
function inputColumnBackward(gradient, d, symbol, rows, columns) {
  if (symbol < columns) for (let i = 0; i < rows; i++) gradient[i * columns + symbol] += d[i];
}

/** Compute xᵀ y for vectors of n numbers. */
function dot(x, xAt, y, yAt, n) {
  let sum = 0;
  for (let j = 0; j < n; j++) sum += x[xAt + j] * y[yAt + j];
  return sum;
}

/** Compute the Euclidean norm of all numbers of several arrays. */
function normOf(arrays) {
  let sum = 0;
  for (const numbers of arrays) for (const number of numbers) sum += number * number;
  return Math.sqrt(sum);
}
