// AttentionRNN(2), forward and backward through time in closed form.
"use strict";

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
