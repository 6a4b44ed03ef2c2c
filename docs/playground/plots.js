// The figures, each on a canvas: a curve, a heat map, a sequence. A step s of N stands between
// s - 1 and s on the horizontal axis of all, so that they can be read together.
"use strict";

const LEFT = 46, RIGHT = 6, TOP = 6, BOTTOM = 16;
const CIVIDIS = [
  [0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [199, 184, 92], [254, 232, 56],
];
const FLOW_RANGE = [-6, 2]; // log₁₀ ‖∂ℓ/∂h[t]‖ of the darkest and the brightest color

const colors = new Map();

/** Return a color of the page by its name in style.css. */
function color(name) {
  if (!colors.has(name)) {
    colors.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return colors.get(name);
}

/** Clear a canvas at the screen's resolution; return its context and the inner box. */
function prepare(canvas) {
  const { clientWidth, clientHeight } = canvas, ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(clientWidth * ratio);
  canvas.height = Math.round(clientHeight * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "11px system-ui, sans-serif";
  const box = { left: LEFT, right: clientWidth - RIGHT, top: TOP, bottom: clientHeight - BOTTOM };
  return { context, ...box, width: box.right - LEFT, height: box.bottom - TOP };
}

/** Return the step at a horizontal place on a canvas, 1 to N; null outside. */
function stepAt(canvas, clientX, N) {
  const { left, width } = canvas.getBoundingClientRect();
  const share = (clientX - left - LEFT) / (width - LEFT - RIGHT);
  return share >= 0 && share <= 1 ? Math.max(1, Math.ceil(share * N)) : null;
}

function text(context, words, x, y, align = "left", name = "quiet") {
  context.fillStyle = color(name);
  context.textAlign = align;
  context.fillText(words, x, y);
}

/** Write a power of ten. */
function powerText(exponent) {
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  if (exponent >= -2 && exponent <= 3) return String(Number((10 ** exponent).toPrecision(1)));
  return `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((d) => digits[d]).join("")}`;
}

/** Draw the axis of steps, 1 to N. */
function drawSteps({ context, left, right, bottom }, N) {
  text(context, "1", left, bottom + 13);
  text(context, String(N), right, bottom + 13, "right");
}

/** Draw a line at a step. */
function drawCursor({ context, left, width, top, bottom }, step, N) {
  if (step === null) return;
  const x = left + ((step - 0.5) / N) * width;
  context.strokeStyle = color("text");
  context.setLineDash([2, 2]);
  strokeLine(context, [[x, top], [x, bottom]]);
  context.setLineDash([]);
}

function strokeLine(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/**
 * Draw curves over steps on a logarithmic axis.
 * curves: each { values, color, width }; drawn in order.
 * options: N; low and high, powers of ten; reference { value, label }, a dashed line; marks,
 *     { step, value } each; cursor, a step or null; ended, whether the last curve ends with NaN.
 */
function drawCurves(canvas, curves, { N, low, high, reference, marks, cursor, ended }) {
  const plot = prepare(canvas), { context, left, right, top, bottom, width, height } = plot;
  const yOf = (value) => {
    const share = (Math.log10(value) - low) / (high - low);
    return bottom - Math.max(0, Math.min(1, share)) * height;
  };
  const xOf = (step) => left + ((step - 0.5) / N) * width;
  for (let exponent = low; exponent <= high; exponent++) {
    const y = yOf(10 ** exponent);
    context.strokeStyle = color("grid");
    strokeLine(context, [[left, y], [right, y]]);
    if ((exponent - low) % Math.ceil((high - low) / 4) === 0) {
      text(context, powerText(exponent), left - 4, y + 4, "right");
    }
  }
  if (reference) {
    context.strokeStyle = color("quiet");
    context.setLineDash([5, 4]);
    strokeLine(context, [[left, yOf(reference.value)], [right, yOf(reference.value)]]);
    context.setLineDash([]);
    text(context, reference.label, right, yOf(reference.value) - 3, "right");
  }
  for (const { values, color: name, width: thick } of curves) {
    context.strokeStyle = color(name);
    context.lineWidth = thick;
    const points = [];
    values.forEach((value, i) => value > 0 && points.push([xOf(i + 1), yOf(value)]));
    strokeLine(context, points);
    context.lineWidth = 1;
  }
  for (const { step, value } of marks ?? []) {
    text(context, "▼", xOf(step), Math.max(top + 8, yOf(value) - 3), "center", "text");
  }
  if (ended) text(context, "✕ NaN", Math.min(xOf(ended) + 6, right - 40), top + 10, "left", "text");
  drawSteps(plot, N);
  drawCursor(plot, cursor, N);
}

/** Return the color of ‖∂ℓ/∂h[t]‖, [red, green, blue]; red where it is not finite. */
function flowColor(flow) {
  if (!Number.isFinite(flow)) return [204, 51, 17];
  const [low, high] = FLOW_RANGE, last = CIVIDIS.length - 1;
  const place = Math.max(0, Math.min(1, (Math.log10(flow) - low) / (high - low))) * last;
  const i = Math.min(last - 1, Math.floor(place));
  return CIVIDIS[i].map((from, channel) => from + (place - i) * (CIVIDIS[i + 1][channel] - from));
}

/**
 * Draw the heat map of ‖∂ℓ/∂h[t]‖: steps from left to right, t = T at the top, where the gradient
 * begins, to t = 1 at the bottom. A pixel shows the largest value of its steps.
 */
function drawHeatMap(canvas, flows, T, N, cursor) {
  const plot = prepare(canvas), { context, left, top, width, height } = plot;
  const columns = Math.max(1, Math.min(N, Math.round(width)));
  const image = new ImageData(columns, T), largest = new Float32Array(columns * T).fill(-1);
  flows.forEach((flow, i) => {
    const x = Math.floor((i * columns) / N);
    for (let t = 0; t < T; t++) {
      const pixel = (T - 1 - t) * columns + x;
      if (!(flow[t] <= largest[pixel])) largest[pixel] = flow[t];
    }
  });
  largest.forEach((flow, pixel) => flow !== -1 && image.data.set([...flowColor(flow), 255], pixel * 4));
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: T });
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, left, top, width, height);
  text(context, `t = ${T}`, left - 4, top + 9, "right");
  text(context, "t = 1", left - 4, top + height, "right");
  drawSteps(plot, N);
  drawCursor(plot, cursor, N);
}

/** Return the time step, 1 to T, at a vertical place on a heat map. */
function timeAt(canvas, clientY, T) {
  const { top, height } = canvas.getBoundingClientRect();
  const share = (clientY - top - TOP) / (height - TOP - BOTTOM);
  return share >= 0 && share <= 1 ? Math.min(T, Math.max(1, T - Math.floor(share * T))) : null;
}

/**
 * Draw a sequence letter by letter: below each letter the state after it, orange where positive and
 * blue where negative, and the predicted probability of each class.
 */
function drawReading(canvas, { symbols, label, states, predictions }) {
  const { context, left, right, top, bottom, width } = prepare(canvas);
  const first = symbols.findIndex((symbol) => symbol !== PAD), n = symbols.length - first;
  const cell = width / n, middle = top + 16, bars = bottom - 4 * 14 + BOTTOM - 4;
  const row = (bars - middle - 6) / H;
  const largest = states.reduce((most, state) => Math.max(most, Math.abs(state)), 1e-3);
  for (let i = 0; i < n; i++) {
    const t = first + i, x = left + i * cell, marked = symbols[t] < 2;
    context.font = `${marked ? "bold " : ""}12px ui-monospace, monospace`;
    text(context, SYMBOLS[symbols[t]], x + cell / 2, top + 10, "center", marked ? "text" : "quiet");
    for (let j = 0; j < H; j++) {
      const state = states[t * H + j];
      context.fillStyle = color(state < 0 ? "below" : "above");
      context.globalAlpha = Math.min(1, Math.abs(state) / largest) || 0;
      context.fillRect(x, middle + j * row, Math.ceil(cell), Math.ceil(row));
    }
    for (let c = 0; c < C; c++) {
      context.fillStyle = color(c === label ? "right" : "quiet");
      context.globalAlpha = predictions[t * C + c] || 0;
      context.fillRect(x, bars + c * 14, Math.ceil(cell), 12);
    }
    context.globalAlpha = 1;
  }
  context.font = "11px system-ui, sans-serif";
  text(context, "h[t]", left - 4, middle + 8 * row + 4, "right");
  for (let c = 0; c < C; c++) {
    const words = c === label ? `✓ ${CLASSES[c]}` : CLASSES[c];
    text(context, words, left - 4, bars + c * 14 + 10, "right", c === label ? "text" : "quiet");
  }
  context.strokeStyle = color("grid");
  context.strokeRect(left, middle, right - left, 16 * row);
  context.strokeRect(left, bars, right - left, 4 * 14 - 2);
}
