// The initial parameters: a pure function of the seed, with the bits of torch's modules built after
// torch.manual_seed(seed).
"use strict";

const STATE_SIZE = 624, SHIFT = 397; // of MT19937
const HIGHEST = 0x80000000, REST = 0x7fffffff, TWIST = 0x9908b0df;

/** The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), torch's generator on the CPU. */
class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(STATE_SIZE);
    this.state[0] = seed;
    for (let i = 1; i < STATE_SIZE; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.place = STATE_SIZE;
  }

  /** Compute the next 624 words of the state. */
  twist() {
    const s = this.state;
    for (let i = 0; i < STATE_SIZE; i++) {
      const joined = (s[i] & HIGHEST) | (s[(i + 1) % STATE_SIZE] & REST);
      s[i] = s[(i + SHIFT) % STATE_SIZE] ^ (joined >>> 1) ^ (joined & 1 ? TWIST : 0);
    }
    this.place = 0;
  }

  /** Return the next word, 32 bits. */
  word() {
    if (this.place === STATE_SIZE) this.twist();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** Return a number from U(-bound, bound), rounded to float32 as torch rounds it. */
  uniform(bound) {
    const half = Math.fround(bound), r = (this.word() & 0xffffff) / 2 ** 24;
    return Math.fround(r * (2 * half) - half);
  }
}

/**
 * Draw the parameters of a network.
 * weights: by name, in the order of the draws, each { shape, role, fan }; from U(-1/√fan, 1/√fan).
 * scale: the factor on recurrent matrices.
 * norm: "layer" starts with a readout of zeros, since normalized states are large.
 */
function initialize(weights, seed, scale, norm) {
  const generator = new MersenneTwister(seed), params = {};
  for (const [name, { shape, role, fan }] of Object.entries(weights)) {
    const size = shape.reduce((product, length) => product * length);
    params[name] = new Float32Array(size);
    if (role === "gain") params[name].fill(1);
    else if (role !== "readout" || norm !== "layer") {
      const factor = role === "recurrent" ? Math.fround(scale) : 1;
      for (let i = 0; i < size; i++) params[name][i] = generator.uniform(1 / Math.sqrt(fan)) * factor;
    }
  }
  return params;
}
