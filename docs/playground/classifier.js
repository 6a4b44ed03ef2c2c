// A cell with its readout: the loss, its gradient, and the gradient of each state.
"use strict";

const CELLS = { gated_rnn: GatedRNN, attn_rnn: AttentionRNN, rnn: ElmanRNN };

/** A cell with a linear readout of its last state, for batches of B sequences of T symbols. */
class Classifier {
  constructor(model, norm, B, T) {
    const term = norm === "layer" ? (n, count) => new NormedTerm(n, count) : () => new PlainTerm();
    Object.assign(this, { model, norm, B, T, cell: new CELLS[model](B, T, term) });
    this.h = new Numbers(B * (T + 1) * H);
    this.delta = new Numbers(B * (T + 1) * H);
    this.y = new Numbers(C);
    this.p = new Float64Array(C);
    this.dy = new Numbers(C);
  }

  /** Describe the parameters, in the order of the random draws. */
  weights() {
    const readout_weight = linear(C, H, "readout");
    const readout_bias = { shape: [C], role: "readout", fan: H };
    const added = this.norm === "layer" ? CELLS[this.model].gains() : {};
    return { ...CELLS[this.model].weights(), readout_weight, readout_bias, ...added };
  }

  /** Compute the logits y = W h + b of the state at an index, and p = softmax(y). */
  readout(params, at) {
    const { y, p, h } = this;
    product(params.readout_weight, h, at, y, 0, C, H);
    for (let c = 0; c < C; c++) p[c] = y[c] += params.readout_bias[c];
    softargmax(p, 0, C);
  }

  /** Compute -log p[label] from the logits, where p may be below the smallest number. */
  crossEntropy(label) {
    const top = Math.max(...this.y);
    let whole = 0;
    for (let c = 0; c < C; c++) whole += exp(this.y[c] - top);
    return Math.log(whole) - (this.y[label] - top);
  }

  /**
   * Run forward and backward: ∂ℓ/∂y = (p - onehot(label)) / B,  ∂ℓ/∂h[T] = Wᵀ ∂ℓ/∂y.
   * gradients: by name, overwritten.
   * Returns the mean loss, the share of correct sequences, and ‖∂ℓ/∂h[t]‖ for t = 1…T.
   */
  learn(params, symbols, labels, gradients) {
    const { B, T, cell, h, delta, y, p, dy } = this;
    for (const gradient of Object.values(gradients)) gradient.fill(0);
    delta.fill(0);
    cell.forward(params, symbols, h);
    let loss = 0, correct = 0;
    for (let b = 0; b < B; b++) {
      const last = (b * (T + 1) + T) * H;
      this.readout(params, last);
      loss += this.crossEntropy(labels[b]) / B;
      correct += y.indexOf(Math.max(...y)) === labels[b];
      for (let c = 0; c < C; c++) {
        dy[c] = (p[c] - (c === labels[b])) / B;
        gradients.readout_bias[c] += dy[c];
      }
      productBackward(params.readout_weight, gradients.readout_weight, dy, h, delta, last, C, H);
    }
    cell.backward(params, symbols, h, delta, gradients);
    return { loss, accuracy: correct / B, flow: this.flow() };
  }

  /** Return ‖∂ℓ/∂h[t]‖ over all sequences, for t = 1…T. */
  flow() {
    const { B, T, delta } = this, flow = new Float32Array(T);
    for (let t = 1; t <= T; t++) {
      let sum = 0;
      for (let b = 0; b < B; b++) {
        const at = (b * (T + 1) + t) * H;
        sum += dot(delta, at, delta, at, H);
      }
      flow[t - 1] = Math.sqrt(sum);
    }
    return flow;
  }

  /** Return the states (T, H) of one sequence, and the class probabilities (T, C) after each. */
  follow(params, symbols) {
    const { T, cell, h, p } = this, predictions = new Float32Array(T * C);
    cell.forward(params, symbols, h);
    for (let t = 1; t <= T; t++) {
      this.readout(params, t * H);
      predictions.set(p, (t - 1) * C);
    }
    return { states: h.slice(H, (T + 1) * H), predictions };
  }
}
