// What happens to a gradient: clipping, the schedule's learning rate, and the update.
"use strict";

const CLIP_EPS = 1e-6; // added to a norm before dividing by it
const ALPHA = 0.99, RMSPROP_EPS = Math.fround(1e-8), MOMENTUM = Math.fround(0.9);
const KEPT = Math.fround(ALPHA), TAKEN = Math.fround(1 - ALPHA);

/** Learning-rate schedules: the factor for the next update, after some updates of a run's steps. */
const SCHEDULES = {
  constant: () => 1,
  cosine: (updates, steps) => (1 + Math.cos((Math.PI * updates) / steps)) / 2,
  linear: (updates, steps) => 1 - updates / steps,
};

/** Scale gradients down to a norm, never up (Pascanu, Mikolov & Bengio 2013, algorithm 1). */
function clipByNorm(gradients, norm, maxNorm) {
  const factor = Math.min(1, maxNorm / (norm + CLIP_EPS));
  for (const g of gradients) for (let i = 0; i < g.length; i++) g[i] *= factor;
}

/**
 * The optimizers: each updates parameters θ in place by gradients g at a learning rate, and with
 * them its own of two arrays: the velocity v, or the mean of squared gradients s.
 */
const OPTIMIZERS = {
  /** Set v = μ v + g;  θ = θ - lr v. */
  sgd(theta, g, v, s, lr) {
    for (let i = 0; i < g.length; i++) {
      v[i] = MOMENTUM * v[i] + g[i];
      theta[i] -= lr * v[i];
    }
  },

  /** Set s = α s + (1-α) g²;  θ = θ - lr g / (√s + ε) (Tieleman & Hinton 2012, lecture 6.5). */
  rmsprop(theta, g, v, s, lr) {
    for (let i = 0; i < g.length; i++) {
      s[i] = KEPT * s[i] + TAKEN * g[i] * g[i];
      theta[i] -= (lr * g[i]) / (Math.sqrt(s[i]) + RMSPROP_EPS);
    }
  },
};
