// Temporal order: classify sequences by the order of two marks, XX → Q, XY → R, YX → S, YY → U.
// Source: Hochreiter & Schmidhuber 1997, experiment 6a.
"use strict";

const SYMBOLS = "XYabcdBE", CLASSES = "QRSU";
const PAD = SYMBOLS.length; // padding in front, a zero vector for the network
const X = SYMBOLS.indexOf("X"), A = SYMBOLS.indexOf("a");
const START = SYMBOLS.indexOf("B"), END = SYMBOLS.indexOf("E");
const TRAIN = 0, TEST = 1; // streams of batches; no two share a draw
const LETTERS_PER_WORD = 16; // a letter takes two of a word's 32 bits

/** Half-open ranges of a sequence's length and of the positions of its two marks. */
const TASKS = {
  easy: { length: [7, 9], t1: [1, 3], t2: [4, 6] },
  normal: { length: [30, 41], t1: [2, 6], t2: [20, 28] },
};

/** Return T, the length of every sequence after padding in front. */
function paddedLength(task) {
  return TASKS[task].length[1];
}

/**
 * Draw the batch of a step, a pure function of its arguments.
 * Returns symbols (B × T) and labels (B).
 */
function drawBatch(task, seed, step, B, stream = TRAIN) {
  const T = paddedLength(task);
  const symbols = new Uint8Array(B * T).fill(PAD), labels = new Uint8Array(B);
  for (let b = 0; b < B; b++) {
    labels[b] = drawSequence(task, seed, step, b, stream, symbols.subarray(b * T, (b + 1) * T));
  }
  return { symbols, labels };
}

/** Draw sequence b of a step into a row, after its padding; return its label. */
function drawSequence(task, seed, step, b, stream, row) {
  const { length, t1, t2 } = TASKS[task], T = row.length;
  // The counter's first block determines length, positions and class; the second, letters for 64
  // time steps, which is enough here.
  const words = philox(seed, 0, b, step, stream), bits = philox(seed, 1, b, step, stream);
  const start = T - integer(words[0], length), label = integer(words[3], [0, CLASSES.length]);
  for (let t = start; t < T; t++) {
    const place = t % LETTERS_PER_WORD, word = bits[Math.floor(t / LETTERS_PER_WORD)];
    row[t] = A + ((word >>> (2 * place)) & 3);
  }
  row[start] = START;
  row[T - 1] = END;
  row[start + integer(words[1], t1)] = X + (label >> 1);
  row[start + integer(words[2], t2)] = X + (label & 1);
  return label;
}
