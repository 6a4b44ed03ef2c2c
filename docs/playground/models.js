// The networks: forward and backward through time in closed form, and the readout of the last state.
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

/**
 * The gated RNN.
 * Forward:   c[t] = σ(W_c x[t] + W_h h[t-1]),  h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t].
 * Backward:  with δ[t] = ∂ℓ/∂h[t] and z the gate's argument,
 *            ∂ℓ/∂z[t] = δ[t] ⊙ (h[t-1] - W_x x[t]) ⊙ c[t] ⊙ (1 - c[t]),
 *            δ[t-1]   = c[t] ⊙ δ[t] + W_hᵀ ∂ℓ/∂z[t].
 */
class GatedRNN {
  constructor(B, T, term) {
    Object.assign(this, { B, T, of: { x: term(H, B * T), c: term(H, B * T), h: term(H, B * T) } });
    this.u = new Numbers(B * T * H); // W_x x[t]
    this.c = new Numbers(B * T * H);
    this.recurrent = new Numbers(H);
    this.dz = new Numbers(H);
    this.du = new Numbers(H);
  }

  static weights() {
    return { W_x: linear(H, I, "input"), W_c: linear(H, I, "input"), W_h: linear(H, H, "recurrent") };
  }

  static gains() {
    return { gamma_W_x: gains(H), gamma_W_c: gains(H), gamma_W_h: gains(H) };
  }

  forward(p, symbols, h) {
    const { B, T, u, c, of, recurrent } = this;
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const place = b * T + t, now = place * H, before = (b * (T + 1) + t) * H;
        inputColumn(p.W_x, symbols[place], u, now, H, I);
        inputColumn(p.W_c, symbols[place], c, now, H, I);
        product(p.W_h, h, before, recurrent, 0, H, H);
        of.x.forward(u, now, p.gamma_W_x, 0, place);
        of.c.forward(c, now, p.gamma_W_c, 0, place);
        of.h.forward(recurrent, 0, p.gamma_W_h, 0, place);
        for (let j = 0; j < H; j++) {
          const gate = (c[now + j] = sigmoid(c[now + j] + recurrent[j]));
          h[before + H + j] = gate * h[before + j] + (1 - gate) * u[now + j];
        }
      }
    }
  }

  backward(p, symbols, h, delta, g) {
    const { B, T, u, c, of, dz, du } = this;
    for (let b = 0; b < B; b++) {
      for (let t = T - 1; t >= 0; t--) {
        const place = b * T + t, now = place * H, before = (b * (T + 1) + t) * H;
        for (let j = 0; j < H; j++) {
          const gate = c[now + j], out = delta[before + H + j];
          du[j] = out * (1 - gate);
          dz[j] = du[j] * gate * (h[before + j] - u[now + j]);
          delta[before + j] = out * gate;
        }
        inputColumnBackward(g.W_x, of.x.backward(du, p.gamma_W_x, 0, place, g.gamma_W_x), symbols[place], H, I);
        inputColumnBackward(g.W_c, of.c.backward(dz, p.gamma_W_c, 0, place, g.gamma_W_c), symbols[place], H, I);
        const dh = of.h.backward(dz, p.gamma_W_h, 0, place, g.gamma_W_h);
        productBackward(p.W_h, g.W_h, dh, h, delta, before, H, H);
      }
    }
  }
}

/**
 * Elman's RNN.
 * Forward:   h[t] = tanh(z[t]),  z[t] = W_ih x[t] + b_ih + W_hh h[t-1] + b_hh.
 * Backward:  ∂ℓ/∂z[t] = (1 - h[t]²) ⊙ δ[t],  δ[t-1] = W_hhᵀ ∂ℓ/∂z[t].
 */
class ElmanRNN {
  constructor(B, T, term) {
    Object.assign(this, { B, T, of: { x: term(H, B * T), h: term(H, B * T) } });
    this.input = new Numbers(H);
    this.recurrent = new Numbers(H);
    this.dz = new Numbers(H);
  }

  static weights() {
    return {
      weight_ih: { ...linear(H, I, "input"), fan: H },
      weight_hh: linear(H, H, "recurrent"),
      bias_ih: { shape: [H], role: "bias", fan: H },
      bias_hh: { shape: [H], role: "bias", fan: H },
    };
  }

  static gains() {
    return { gamma_weight_ih: gains(H), gamma_weight_hh: gains(H) };
  }

  forward(p, symbols, h) {
    const { B, T, of, input, recurrent } = this;
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const place = b * T + t, before = (b * (T + 1) + t) * H;
        inputColumn(p.weight_ih, symbols[place], input, 0, H, I);
        product(p.weight_hh, h, before, recurrent, 0, H, H);
        of.x.forward(input, 0, p.gamma_weight_ih, 0, place);
        of.h.forward(recurrent, 0, p.gamma_weight_hh, 0, place);
        for (let j = 0; j < H; j++) {
          h[before + H + j] = tanh(input[j] + p.bias_ih[j] + recurrent[j] + p.bias_hh[j]);
        }
      }
    }
  }

  backward(p, symbols, h, delta, g) {
    const { B, T, of, dz } = this;
    for (let b = 0; b < B; b++) {
      for (let t = T - 1; t >= 0; t--) {
        const place = b * T + t, before = (b * (T + 1) + t) * H;
        for (let j = 0; j < H; j++) {
          dz[j] = (1 - h[before + H + j] ** 2) * delta[before + H + j];
          g.bias_ih[j] += dz[j];
          g.bias_hh[j] += dz[j];
        }
        const dx = of.x.backward(dz, p.gamma_weight_ih, 0, place, g.gamma_weight_ih);
        inputColumnBackward(g.weight_ih, dx, symbols[place], H, I);
        const dh = of.h.backward(dz, p.gamma_weight_hh, 0, place, g.gamma_weight_hh);
        productBackward(p.weight_hh, g.weight_hh, dh, h, delta, before, H, H);
      }
    }
  }
}

/**
 * Attention over the input and the last K = 2 states, with Q, K, V of its own for every lag.
 * Forward:   q_i, k_i, v_i = Q_i h[t-i], K_i h[t-i], V_i h[t-i] for i = 1…K, and of x[t] for i = 0;
 *            w_i = q_iᵀ k_i,  a = softargmax(w),  h[t] = Σ a_i v_i.
 * Backward:  ∂ℓ/∂w_i = a_i (v_i - h[t])ᵀ δ[t],  ∂ℓ/∂v_i = a_i δ[t],
 *            δ[t-i] += Q_iᵀ k_i ∂ℓ/∂w_i + K_iᵀ q_i ∂ℓ/∂w_i + V_iᵀ ∂ℓ/∂v_i.
 * States before the first are zero: they take part with w = 0, v = 0.
 */
class AttentionRNN {
  constructor(B, T, term) {
    const slots = B * T * (LAGS + 1); // a slot: what lag i reads, at a time step of a sequence
    const [q, k, v] = (this.qkv = [..."QKV"].map(() => new Numbers(slots * H)));
    Object.assign(this, { B, T, q, k, v, of: [..."QKV"].map(() => term(H, slots)) });
    this.w = new Numbers(slots);
    this.a = new Numbers(slots);
    this.d = new Numbers(H);
  }

  static weights() {
    const weights = {};
    for (const name of "QKV") weights[`${name}_0`] = linear(H, I, "input");
    for (let i = 1; i <= LAGS; i++) {
      for (const name of "QKV") weights[`${name}_${i}`] = linear(H, H, "recurrent");
    }
    return weights;
  }

  static gains() {
    return { gamma_x: gains(3 * H), gamma_h: gains(3 * LAGS * H) };
  }

  /** Return the slot that lag i fills at time t. */
  slot(b, t, i) {
    return (b * this.T + t) * (LAGS + 1) + i;
  }

  forward(p, symbols, h) {
    const { B, T, a, w, v } = this;
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const after = (b * (T + 1) + t + 1) * H, mix = this.slot(b, t, 0);
        this.fill(p, 0, mix, symbols[b * T + t], h, 0);
        for (let i = 0; i <= LAGS; i++) a[mix + i] = i <= t ? w[this.slot(b, t - i, i)] : 0;
        softargmax(a, mix, LAGS + 1);
        for (let i = 0; i <= Math.min(LAGS, t); i++) {
          const share = a[mix + i], at = this.slot(b, t - i, i) * H;
          for (let j = 0; j < H; j++) h[after + j] = share * v[at + j] + (i ? h[after + j] : 0);
        }
        for (let i = 1; i <= LAGS; i++) this.fill(p, i, this.slot(b, t, i), PAD, h, after);
      }
    }
  }

  /** Compute q_i, k_i, v_i of a symbol (i = 0) or of the state at an index, and w_i = q_iᵀ k_i. */
  fill(p, i, slot, symbol, h, state) {
    const at = slot * H;
    for (let part = 0; part < 3; part++) {
      const { name, gamma, gammaAt } = PARTS[i][part], out = this.qkv[part];
      if (i === 0) inputColumn(p[name], symbol, out, at, H, I);
      else product(p[name], h, state, out, at, H, H);
      this.of[part].forward(out, at, p[gamma], gammaAt, slot);
    }
    this.w[slot] = dot(this.q, at, this.k, at, H);
  }

  backward(p, symbols, h, delta, g) {
    const { B, T, a, v } = this;
    for (let b = 0; b < B; b++) {
      for (let t = T - 1; t >= 0; t--) {
        const after = (b * (T + 1) + t + 1) * H, mix = this.slot(b, t, 0);
        const mean = dot(h, after, delta, after, H);
        for (let i = 0; i <= Math.min(LAGS, t); i++) {
          const share = a[mix + i], slot = this.slot(b, t - i, i);
          const dw = share * (dot(v, slot * H, delta, after, H) - mean);
          this.fillBackward(p, i, slot, symbols[b * T + t], h, after, delta, share, dw, g);
        }
      }
    }
  }

  /** Go back through `fill` from ∂ℓ/∂w_i and ∂ℓ/∂v_i = share · δ[t]. */
  fillBackward(p, i, slot, symbol, h, after, delta, share, dw, g) {
    const { q, k, d } = this, at = slot * H;
    for (let part = 0; part < 3; part++) {
      const { name, gamma, gammaAt } = PARTS[i][part], other = part === 0 ? k : q;
      for (let j = 0; j < H; j++) d[j] = part === 2 ? share * delta[after + j] : dw * other[at + j];
      const dz = this.of[part].backward(d, p[gamma], gammaAt, slot, g[gamma]);
      if (i === 0) inputColumnBackward(g[name], dz, symbol, H, I);
      else productBackward(p[name], g[name], dz, h, delta, after - i * H, H, H);
    }
  }
}

/** By lag and part, Q, K or V: the matrix's name, and its gains' name and place. */
const PARTS = Array.from({ length: LAGS + 1 }, (_, i) => [..."QKV"].map((letter, part) => ({
  name: `${letter}_${i}`,
  gamma: i ? "gamma_h" : "gamma_x",
  gammaAt: (i ? part * LAGS + i - 1 : part) * H,
})));

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
