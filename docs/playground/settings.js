// The settings of a network: what they may be, how they stand in the address, and the command.
"use strict";

/** By setting: its choices, or its range; whether it fixes the start of a run. */
const SETTINGS = {
  model: { choices: Object.keys(CELLS), start: true },
  task: { choices: Object.keys(TASKS), start: true },
  optimizer: { choices: Object.keys(OPTIMIZERS), start: true },
  norm: { choices: ["none", "layer"], start: true },
  schedule: { choices: Object.keys(SCHEDULES) },
  scale: { low: 0.1, high: 10, logarithmic: true, start: true },
  seed: { low: 0, high: 2 ** 32 - 1, whole: true, start: true },
  steps: { low: 10, high: 10000, whole: true },
  lr: { low: 1e-4, high: 3, logarithmic: true },
  clip: { low: 0.01, high: 100, logarithmic: true, off: 0 }, // 0: no clipping
};

const DEFAULTS = {
  model: "gated_rnn", task: "easy", optimizer: "sgd", norm: "none", schedule: "constant", scale: 1,
  seed: 0, steps: 1000, lr: 0.1, clip: 0,
};

const OTHER_WORDS = ["knob", "other", "scene", "lang", "predict"]; // of an address

/** Return what is allowed if a word is no value of a setting, or null. */
function problemOf(name, word) {
  const { choices, low, high, whole, off } = SETTINGS[name];
  if (choices) return choices.includes(word) ? null : choices.join(", ");
  const value = word === "" ? NaN : Number(word);
  const fits = value >= low && value <= high && (!whole || Number.isInteger(value));
  return fits || value === off ? null : `${low} … ${high}${off === undefined ? "" : `, ${off}`}`;
}

/**
 * Read an exercise from the part of an address after #: settings of both networks, the name of the
 * setting `knob` that differs in the second one, and its value `other` there.
 * Returns { settings, knob, other, scene, lang, predict, problems }; each problem is a word of the
 * address and what is allowed in its place.
 */
function readAddress(hash) {
  const words = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  const settings = { ...DEFAULTS }, problems = [];
  const read = (name, word, written) => {
    const problem = problemOf(name, word);
    if (problem) problems.push([`${written}=${word}`, problem]);
    return problem ? null : SETTINGS[name].choices ? word : Number(word);
  };
  for (const name of Object.keys(SETTINGS)) {
    if (name in words) settings[name] = read(name, words[name], name) ?? settings[name];
  }
  for (const name of Object.keys(words)) {
    if (!Object.hasOwn(SETTINGS, name) && !OTHER_WORDS.includes(name)) {
      problems.push([name, [...Object.keys(SETTINGS), ...OTHER_WORDS].join(", ")]);
    }
  }
  let knob = words.knob ?? "clip";
  if (!Object.hasOwn(SETTINGS, knob)) {
    problems.push([`knob=${knob}`, Object.keys(SETTINGS).join(", ")]);
    knob = "clip";
  }
  const other = "other" in words ? read(knob, words.other, "other") : null;
  const { scene, lang } = words, predict = "predict" in words;
  return { settings, knob, other: other ?? contrast(knob, settings[knob]), scene, lang, predict, problems };
}

/** Return a value of a setting that differs from a given one. */
function contrast(knob, value) {
  const { choices, low, high, whole } = SETTINGS[knob];
  if (choices) return choices.find((choice) => choice !== value);
  if (knob === "clip") return value ? 0 : 1;
  if (whole) return value < high ? value + 1 : low;
  return Number((value / 10 >= low ? value / 10 : value * 10).toPrecision(6));
}

/** Write an exercise as the part of an address after #, without what is the default. */
function writeAddress({ settings, knob, other, scene, lang }) {
  const words = new URLSearchParams();
  if (scene) words.set("scene", scene);
  if (lang) words.set("lang", lang);
  for (const [name, value] of Object.entries(settings)) {
    if (value !== DEFAULTS[name]) words.set(name, value);
  }
  words.set("knob", knob);
  words.set("other", other);
  return `#${words}`;
}

/** Return the settings of both networks. */
function bothOf({ settings, knob, other }) {
  return [settings, { ...settings, [knob]: other }];
}

/** Return the command that makes the same run in the bench. */
function commandOf({ model, task, optimizer, lr, clip, norm, schedule, scale, seed, steps }) {
  const words = [`model=${model}`, `task=${task}`, `optimizer=${optimizer}`, `optimizer.lr=${lr}`];
  words.push(...(clip > 0 ? ["clip=norm", `clip.max_norm=${clip}`] : ["clip=none"]));
  words.push(`norm=${norm}`, `schedule=${schedule}`);
  if (scale !== 1) words.push(`init.scale=${scale}`, "check_initial_loss=warn");
  words.push(`seed=${seed}`, `steps=${steps}`);
  return `python -m hw2exp.train ${words.join(" ")}`;
}
