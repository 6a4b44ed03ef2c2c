// Elman's RNN, forward and backward through time in closed form.
"use strict";

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
