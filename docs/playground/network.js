// A network as the page sees it: what its worker has reported so far.
"use strict";

/** Return the address of a worker that holds the trainer's sources, which stand in this page. */
function workerAddress() {
  const sources = [...document.querySelectorAll("script[data-worker]")].map((script) => script.text);
  return URL.createObjectURL(new Blob([...sources, "serve();"], { type: "text/javascript" }));
}

/**
 * A network that trains in a worker of its own.
 * losses, norms, accuracies, flows: a value a step, from step 1.
 * before: losses and norms of the branch that was left last.
 * uses: the settings used, each { step, settings }, from that step on.
 */
class Network {
  constructor(address, report) {
    this.waiting = [];
    this.worker = new Worker(address);
    this.worker.onmessage = ({ data }) => this.waiting.shift()(data);
    this.worker.onerror = (event) => report(event.message);
    this.losses = [];
  }

  /** Call a method of the worker's Training; return a promise of its result. */
  call(name, ...args) {
    this.worker.postMessage({ call: name, args });
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  get step() {
    return this.losses.length;
  }

  get over() {
    return this.ended || this.step >= this.settings.steps;
  }

  start(settings) {
    this.settings = settings;
    Object.assign(this, { losses: [], norms: [], accuracies: [], flows: [], ended: false });
    this.uses = [{ step: 0, settings }];
    this.before = { losses: [], norms: [] };
    return this.call("start", settings);
  }

  /** Use other settings from the next step on. */
  change(settings) {
    this.settings = settings;
    this.note();
    return this.call("change", settings);
  }

  /** Note that the present settings are used from here on. */
  note() {
    const { step, settings } = this, last = this.uses.at(-1).settings;
    if (Object.keys(settings).every((name) => settings[name] === last[name])) return;
    if (this.uses.at(-1).step === step) this.uses.pop();
    this.uses.push({ step, settings });
  }

  /** Make steps, and keep what they report. */
  async advance(count) {
    for (const { loss, norm, accuracy, flow, finite } of await this.call("advance", count)) {
      this.losses.push(loss);
      this.norms.push(norm);
      this.accuracies.push(accuracy);
      this.flows.push(flow);
      this.ended = !finite;
    }
  }

  /** Go back to a step, and use the present settings from there. */
  async goBack(step) {
    if (step >= this.step) return;
    this.before = { losses: [...this.losses], norms: [...this.norms] };
    for (const list of [this.losses, this.norms, this.accuracies, this.flows]) list.length = step;
    this.uses = this.uses.filter((use) => use.step === 0 || use.step < step);
    this.note();
    this.ended = false;
    await this.call("goBack", step);
    await this.call("change", this.settings);
  }

  /** Return a test sequence as the network read it after a step; see Training.follow. */
  follow(number, step) {
    return this.call("follow", number, Math.min(step, this.ended ? this.step - 1 : this.step));
  }
}
