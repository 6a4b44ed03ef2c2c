// The gated RNN, forward and backward through time in closed form.
"use strict";

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
        const dx = of.x.backward(du, p.gamma_W_x, 0, place, g.gamma_W_x);
        inputColumnBackward(g.W_x, dx, symbols[place], H, I);
        const dc = of.c.backward(dz, p.gamma_W_c, 0, place, g.gamma_W_c);
        inputColumnBackward(g.W_c, dc, symbols[place], H, I);
        const dh = of.h.backward(dz, p.gamma_W_h, 0, place, g.gamma_W_h);
        productBackward(p.W_h, g.W_h, dh, h, delta, before, H, H);
      }
    }
  }
}
