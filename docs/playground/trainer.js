// One network in training: its steps, and the way back to any of them. It runs in a worker.
"use strict";

const BATCH_SIZE = 32;
const SNAPSHOT_EVERY = 5;

/**
 * A network in training.
 * settings: model, task, norm, scale and seed, which fix the start; optimizer, lr, clip (0: none),
 *     schedule and steps, which may change on the way.
 */
class Training {
  constructor(settings) {
    const { model, task, norm, scale, seed } = settings;
    this.T = paddedLength(task);
    this.classifier = new Classifier(model, norm, BATCH_SIZE, this.T);
    this.reader = new Classifier(model, norm, 1, this.T);
    this.params = initialize(this.classifier.weights(), seed, scale, norm);
    const zeros = () => mapped(this.params, (numbers) => new Numbers(numbers.length));
    this.gradients = zeros();
    this.velocity = zeros();
    this.meanSquare = zeros();
    this.step = 0;
    this.snapshots = [];
    this.change(settings);
  }

  /** Use other settings from the next step on. */
  change(settings) {
    this.settings = settings;
    this.keep();
  }

  /** Make steps, up to a count; stop at the run's end, or when a number is not finite. */
  advance(count) {
    const rows = [];
    while (rows.length < count && this.step < this.settings.steps) {
      const row = this.makeStep();
      rows.push(row);
      if (!row.finite) {
        this.goBack(this.step - 1); // a run that diverges keeps the state before
        break;
      }
      if (this.step % SNAPSHOT_EVERY === 0) this.keep();
    }
    return rows;
  }

  /** Draw a batch, run forward and backward, clip, and update. */
  makeStep() {
    const { task, seed, lr, clip, optimizer, schedule, steps } = this.settings;
    const { params, gradients, velocity, meanSquare } = this;
    const rate = Math.fround(lr * SCHEDULES[schedule](this.step, steps));
    this.step++;
    const { symbols, labels } = drawBatch(task, seed, this.step, BATCH_SIZE);
    const seen = this.classifier.learn(params, symbols, labels, gradients);
    const norm = normOf(Object.values(gradients));
    if (clip > 0) clipByNorm(Object.values(gradients), norm, clip);
    for (const [name, theta] of Object.entries(params)) {
      OPTIMIZERS[optimizer](theta, gradients[name], velocity[name], meanSquare[name], rate);
    }
    const size = normOf([params, velocity, meanSquare].flatMap(Object.values));
    const finite = [Math.fround(seen.loss), norm, size].every(Number.isFinite);
    return { ...seen, norm, finite };
  }

  /** Keep a copy of the state, with the settings from here on. */
  keep() {
    this.forget(this.step - 1);
    const { step, settings, params, velocity, meanSquare } = this;
    this.snapshots.push(structuredClone({ step, settings, params, velocity, meanSquare }));
  }

  /** Drop the copies of later steps. */
  forget(step) {
    while (this.snapshots.length && this.snapshots.at(-1).step > step) this.snapshots.pop();
  }

  /** Return to the state after an earlier step, from the last copy before it. */
  goBack(step) {
    this.forget(step);
    this.restore(step);
  }

  restore(step) {
    const copy = this.snapshots.findLast((snapshot) => snapshot.step <= step);
    Object.assign(this, structuredClone(copy));
    while (this.step < step) this.makeStep();
  }

  /** Return a test sequence, the states that the network passes, and its predictions, at a step. */
  follow(number, step) {
    const { task, seed } = this.settings, now = this.step, current = this.settings;
    const { symbols, labels } = drawBatch(task, seed, 0, number + 1, TEST);
    if (step !== now) this.restore(step);
    const row = symbols.slice(number * this.T);
    const seen = this.reader.follow(this.params, row);
    if (step !== now) this.restore(now);
    this.settings = current;
    return { symbols: row, label: labels[number], ...seen };
  }
}

/** Map the values of an object. */
function mapped(object, f) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, f(value)]));
}

/** Answer the page's calls: `start` makes a network, all others are its methods. */
function serve() {
  let training;
  self.onmessage = ({ data: { call, args } }) => {
    if (call === "start") training = new Training(...args);
    self.postMessage(call === "start" ? null : training[call](...args));
  };
}
