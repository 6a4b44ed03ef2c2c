// Layer normalization of a cell's terms (Ba, Kiros & Hinton 2016, eq. 3-4), or none.
//
// Forward:   s = (z - mean(z)) / √(var(z) + ε),  y = γ ⊙ s.
// Backward:  with e = γ ⊙ ∂ℓ/∂y,  ∂ℓ/∂z = (e - mean(e) - s ⊙ mean(e ⊙ s)) / √(var(z) + ε),
//            ∂ℓ/∂γ = Σ ∂ℓ/∂y ⊙ s.
"use strict";

const EPS_OF_NORM = Math.fround(1e-5);

/** A term without normalization, such as W_h h[t-1]. */
class PlainTerm {
  forward() {}
  backward(d) {
    return d;
  }
}

/**
 * A term of n features with layer normalization.
 * count: how often the term occurs in a batch, each at a place of its own.
 */
class NormedTerm {
  constructor(n, count) {
    this.n = n;
    this.s = new Numbers(n * count);
    this.inverse = new Numbers(count);
    this.dz = new Numbers(n);
  }

  /** Normalize z, n numbers from an index on, in place, with the gains γ from an index on. */
  forward(z, at, gamma, gammaAt, place) {
    const { n, s } = this, own = place * n;
    let mean = 0, variance = 0;
    for (let j = 0; j < n; j++) mean += z[at + j] / n;
    for (let j = 0; j < n; j++) variance += (z[at + j] - mean) ** 2 / n;
    const inverse = (this.inverse[place] = 1 / Math.sqrt(variance + EPS_OF_NORM));
    for (let j = 0; j < n; j++) {
      s[own + j] = (z[at + j] - mean) * inverse;
      z[at + j] = gamma[gammaAt + j] * s[own + j];
    }
  }

  /** Return ∂ℓ/∂z from d = ∂ℓ/∂y; add to the gradient of γ. */
  backward(d, gamma, gammaAt, place, gradient) {
    const { n, s, dz } = this, own = place * n;
    let mean = 0, along = 0;
    for (let j = 0; j < n; j++) {
      gradient[gammaAt + j] += d[j] * s[own + j];
      const e = gamma[gammaAt + j] * d[j];
      mean += e / n;
      along += (e * s[own + j]) / n;
    }
    for (let j = 0; j < n; j++) {
      dz[j] = (gamma[gammaAt + j] * d[j] - mean - s[own + j] * along) * this.inverse[place];
    }
    return dz;
  }
}
