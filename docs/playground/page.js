// The page: what is shown, and what happens when something is pressed.
"use strict";

const SPEEDS = [2, 20, 100, 0]; // steps a second; 0: as fast as possible
const TURN = 40; // milliseconds of training between two looks at the page
const PREDICTED = 200; // most steps that a prediction is about
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const at = (id) => document.getElementById(id);

let exercise, networks, playing = false, cursor = null, hover = null, prediction = null;
let speed = 100, rate = 0, sequence = 0, plays = 0, applied = true, drawn = 0;
let turn = Promise.resolve();

/** Run an action after all earlier ones: the workers answer in order, one action at a time. */
function inTurn(action) {
  turn = turn.then(action).catch((error) => report(error.message));
  return turn;
}

function report(message) {
  playing = false;
  at("status").textContent = say("failed", { error: message });
}

/** Give both networks their settings: start them again if that takes it, else change them. */
async function apply() {
  if (applied) return;
  applied = true;
  const wanted = bothOf(exercise), fixed = Object.keys(SETTINGS).filter((name) => SETTINGS[name].start);
  const starts = networks.some(({ settings }, i) => !settings || fixed.some((name) => settings[name] !== wanted[i][name]));
  if (starts) await restart();
  else await Promise.all(networks.map((network, i) => network.change(wanted[i])));
  await follow();
}

async function restart() {
  cursor = prediction = null;
  at("prediction").hidden = true;
  await Promise.all(networks.map((network, i) => network.start(bothOf(exercise)[i])));
}

/** Make steps of both networks; from an earlier step, leave what came after it. */
async function advance(count) {
  if (cursor !== null) {
    await Promise.all(networks.map((network) => network.goBack(cursor)));
    cursor = null;
  }
  await Promise.all(networks.map((network) => (network.over ? null : network.advance(count))));
  await follow();
  draw();
}

/** Ask both networks how they read the sequence that is shown. */
async function follow() {
  const step = cursor ?? Infinity;
  await Promise.all(networks.map(async (network) => {
    network.seen = await network.follow(sequence, step);
  }));
  draw();
}

const isOver = () => networks.every((network) => network.over) && cursor === null;
const lastStep = () => Math.max(...networks.map((network) => network.step));

/** Train until paused; a turn makes as many steps as fit into its time. A run that is over begins anew. */
async function play() {
  const own = ++plays; // pressed again meanwhile, another call takes over
  playing = true;
  if (isOver()) await inTurn(restart);
  let fits = 1;
  showStatus();
  while (playing && own === plays) {
    const began = performance.now(), asked = speed ? Math.max(1, Math.round((speed * TURN) / 1000)) : Infinity;
    const left = prediction?.until ? prediction.until - (cursor ?? lastStep()) : Infinity;
    const count = Math.max(1, Math.min(Math.ceil(fits), asked, left));
    await inTurn(() => advance(count));
    const took = performance.now() - began;
    fits = Math.min(fits * 2, Math.max(1, (count * TURN) / took));
    const pause = speed ? (1000 * count) / speed - took : 0;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, pause)));
    rate = (1000 * count) / (performance.now() - began);
    if (isOver() || (prediction?.until && lastStep() >= prediction.until)) pauseHere();
  }
}

function pauseHere() {
  playing = false;
  judge();
  showStatus();
  draw();
}

/** Use a new value of a setting, in the address too. */
function use(name, value) {
  if (name === "knob") {
    exercise.knob = value;
    exercise.other = contrast(value, exercise.settings[value]);
  } else if (name === "other") exercise.other = value;
  else exercise.settings[name] = value;
  exercise.scene = undefined;
  history.replaceState(null, "", writeAddress(exercise));
  if (name === "knob") showDifference();
  showScenes();
  showCommands();
  applied = false;
  inTurn(apply);
}

// Predictions

function ask() {
  if (playing) pauseHere();
  if (isOver()) inTurn(restart);
  inTurn(() => {
    const from = cursor ?? lastStep(), until = Math.min(exercise.settings.steps, from + PREDICTED);
    prediction = { from, until: 0 };
    at("prediction").hidden = false;
    at("question").textContent = say("question", { n: until - from });
    at("prediction").querySelectorAll("button").forEach((button) => button.remove());
    for (const name of ["first", "second", "both", "neither"]) {
      const textContent = say(`answers.${name}`);
      at("prediction").append(element("button", { textContent, onclick: () => answer(name, until) }));
    }
    at("prediction").querySelector("button").focus({ preventScroll: true });
    draw();
  });
}

function answer(name, until) {
  Object.assign(prediction, { answer: name, until });
  at("prediction").querySelectorAll("button").forEach((button) => button.remove());
  at("question").textContent = say("you_said", { answer: say(`answers.${name}`) });
  at("play").focus({ preventScroll: true });
  play();
}

/** Tell whether the prediction came true. */
function judge() {
  if (!prediction?.until || (!isOver() && lastStep() < prediction.until)) return;
  const { from, until, answer: said } = prediction;
  const steps = networks.map(({ losses, ended }) => explosionOf(losses, ended, from));
  const blew = steps.map((step) => step !== null);
  const truth = blew[0] ? (blew[1] ? "both" : "first") : blew[1] ? "second" : "neither";
  const facts = steps.map((step, i) =>
    say(step === null ? "held" : "blew_up", { name: say(`networks.${i}`), step: step ?? until }));
  const verdict = say(said === truth ? "right" : "wrong");
  at("question").textContent = say("verdict", { answer: say(`answers.${said}`), verdict, facts: facts.join(" ") });
  prediction = null;
}

// What is shown

/** Draw everything once, at the next frame; less often where motion is not wanted. */
function draw() {
  if (drawn) return;
  drawn = setTimeout(() => requestAnimationFrame(() => {
    drawn = 0;
    drawAll();
  }), STILL.matches && playing ? 1000 : 0);
}

/** Return the powers of ten around all values, between 10⁻⁴ and 10⁴: curves leave the figure there. */
function rangeOf(lists) {
  let low = -1, high = 1;
  for (const value of lists.flat()) {
    if (!(value > 0)) continue;
    low = Math.min(low, Math.log10(value));
    high = Math.max(high, Math.log10(value));
  }
  return { low: Math.max(-4, Math.floor(low)), high: Math.min(4, Math.ceil(high)) };
}

const NICE = [50, 100, 200, 500, 1000, 2000, 5000, 10000];

function drawAll() {
  const longest = Math.max(...networks.map(({ losses, before }) => Math.max(losses.length, before.losses.length)));
  const most = Math.max(...networks.map(({ settings }) => settings.steps));
  const N = Math.max(longest, Math.min(most, NICE.find((steps) => steps >= longest))), cursorStep = hover?.step ?? cursor;
  const losses = rangeOf(networks.flatMap(({ losses: own, before }) => [own, before.losses]));
  const norms = rangeOf(networks.flatMap(({ norms: own, before }) => [own, before.norms]));
  networks.forEach((network, i) => {
    const own = i ? "second" : "first", { canvases, settings, before } = network;
    const common = { N, cursor: cursorStep, ended: network.ended && network.step };
    const marks = findSpikes(network.losses).map(({ step, loss }) => ({ step, value: loss }));
    const curves = (old, values) => [{ values: old, color: "ghost", width: 1 }, { values, color: own, width: 1.6 }];
    drawCurves(canvases.loss, curves(before.losses, network.losses), {
      ...common, ...losses, marks, reference: { value: INITIAL_LOSS, label: "ln 4" } });
    const threshold = settings.clip ? { value: settings.clip, label: String(settings.clip) } : null;
    drawCurves(canvases.gradient, curves(before.norms, network.norms), { ...common, ...norms, reference: threshold });
    drawHeatMap(canvases.heat, network.flows, paddedLength(settings.task), N, cursorStep);
    if (network.seen) drawReading(canvases.letters, network.seen);
    network.N = N;
    describe(network, i);
  });
  at("timeline").max = lastStep();
  at("timeline").value = cursor ?? lastStep();
  at("timeline").setAttribute("aria-valuetext", String(cursor ?? lastStep()));
  at("play").textContent = say(playing ? "pause" : "play");
  at("rate").textContent = playing ? say("rate", { rate: Math.round(rate) }) : "";
}

/** Write a number with three digits, a very large or small one with a power of ten. */
function short(number) {
  if (!Number.isFinite(number)) return "NaN";
  if (number !== 0 && (Math.abs(number) >= 1e5 || Math.abs(number) < 1e-3)) {
    const exponent = Math.floor(Math.log10(Math.abs(number)));
    return `${Number((number / 10 ** exponent).toPrecision(2))} · ${powerText(exponent)}`;
  }
  return String(Number(number.toPrecision(3)));
}

/** Write a network's numbers at the step that is looked at, for eyes and for screen readers. */
function describe(network, i) {
  const { settings, losses, canvases, seen } = network, name = say(`networks.${i}`);
  const step = Math.min(network.step, hover?.step ?? cursor ?? Infinity), row = step - 1;
  const value = shown(exercise.knob, settings[exercise.knob]);
  const kind = `${say(`setting.${exercise.knob}`)}: ${value}`;
  network.title.textContent = `${name} — ${kind}`;
  const spikes = findSpikes(losses), highest = spikes.reduce((most, own) => (own.loss > (most?.loss ?? 0) ? own : most), null);
  const words = spikes.length > 1 ? "many_spikes" : spikes.length ? "one_spike" : "no_spikes";
  const about = say(words, { n: spikes.length, step: highest?.step, loss: short(highest?.loss) });
  const flow = step > 0 ? network.flows[row] : null;
  let now = flow === null ? say("nothing") : say("now", {
    step, loss: short(losses[row]), accuracy: Math.round(100 * network.accuracies[row]),
    norm: short(network.norms[row]), spikes: about });
  if (network.ended) now += ` ${say("diverged", { step: network.step })}`;
  if (hover?.t && flow) now += ` ${say("flow_at", { t: hover.t, flow: short(flow[hover.t - 1]) })}`;
  network.summary.textContent = now;
  if (playing) return; // what nobody can read so fast
  canvases.loss.setAttribute("aria-label", `${name}, ${say("loss")}. ${now}`);
  canvases.gradient.setAttribute("aria-label", `${name}, ${say("gradient")}. ${now}`);
  if (flow) canvases.heat.setAttribute("aria-label", say("heat_label", { name, last: short(flow.at(-1)), first: short(flow[0]) }));
  if (seen) canvases.letters.setAttribute("aria-label", readingOf(seen, name));
}

/** Say in words how a network reads its sequence. */
function readingOf({ symbols, label, predictions }, name) {
  const last = [...predictions.slice(-C)], best = last.indexOf(Math.max(...last));
  const letters = [...symbols].filter((symbol) => symbol !== PAD).map((symbol) => SYMBOLS[symbol]).join("");
  const share = Math.round(100 * last[best]);
  return say("letters_label", { name, sequence: letters, label: CLASSES[label], predicted: CLASSES[best] ?? "–", share });
}

function showStatus() {
  const text = playing ? say("running")
    : cursor !== null ? say("back", { step: cursor })
    : isOver() ? say("ended", { steps: lastStep() }) : say("paused", { step: lastStep() });
  if (at("status").textContent !== text) at("status").textContent = text;
}

function showScenes() {
  at("scenes").replaceChildren(...Object.entries(SCENES).map(([name, href], i) => {
    const link = element("a", { href, textContent: `${i + 1} ${say(`scene.${name}.title`)}` });
    if (exercise.scene === name) link.setAttribute("aria-current", "true");
    return element("li", {}, link);
  }));
  const other = shown(exercise.knob, exercise.other);
  at("scene-text").textContent = exercise.scene in SCENES ? say(`scene.${exercise.scene}.text`, { other }) : "";
}

function showDifference() {
  const knobs = Object.keys(SETTINGS).map((name) => [name, say(`setting.${name}`)]);
  at("difference").replaceChildren(
    labeled(say("knob"), selectOf(knobs, exercise.knob, (value) => use("knob", value))),
    labeled(say("other"), controlOf(exercise.knob, exercise.other, (value) => use("other", value))));
}

function showSettings() {
  at("shared").replaceChildren(...Object.keys(SETTINGS).map((name) => labeled(
    `${say(`setting.${name}`)}${SETTINGS[name].start ? " ↺" : ""}`,
    controlOf(name, exercise.settings[name], (value) => use(name, value)))));
  showDifference();
}

function showCommands() {
  at("lines").replaceChildren(...bothOf(exercise).flatMap((settings, i) => {
    const line = commandOf(settings), button = element("button", { textContent: say("copy") });
    button.onclick = () => navigator.clipboard.writeText(line).then(() => (button.textContent = say("copied")));
    return [element("h2", { textContent: say(`networks.${i}`) }), element("pre", { textContent: line }), button];
  }));
  const steps = [...new Set(networks.flatMap(({ uses }) => uses.slice(1).map(({ step }) => step)))];
  at("command-changed").textContent = steps.length ? say("command_changed", { steps: steps.join(", ") }) : "";
}

/** Make the figures of a network. */
function figuresOf(network, i) {
  network.title = element("h2");
  network.summary = element("p", { className: "summary" });
  network.canvases = {};
  const figures = ["loss", "gradient", "heat", "letters"].map((kind) => {
    const canvas = (network.canvases[kind] = element("canvas", { className: kind }));
    canvas.setAttribute("role", "img");
    canvas.onpointermove = (event) => kind !== "letters" && look(network, kind, event);
    canvas.onpointerleave = () => look(network, kind, null);
    const about = element("small", { textContent: say(`about.${kind}`) });
    const bar = kind === "heat" ? [" 10⁻⁶ ", element("span", { className: "bar" }), " 10² "] : [" "];
    const which = element("span", { className: "narrow", textContent: ` – ${say(`networks.${i}`)}` });
    const caption = element("figcaption", {}, element("strong", { textContent: say(kind) }, which), ...bar, about);
    return element("figure", {}, caption, canvas);
  });
  const heading = element("div", {}, network.title, network.summary);
  for (const part of [heading, ...figures]) part.classList.add("network", i ? "second" : "first");
  return [heading, ...figures];
}

/** Read a step, and in the heat map a time step, under the pointer. */
function look(network, kind, event) {
  const canvas = network.canvases[kind], step = event && stepAt(canvas, event.clientX, network.N);
  const T = paddedLength(network.settings.task);
  hover = step ? { step, t: kind === "heat" ? timeAt(canvas, event.clientY, T) : null } : null;
  draw();
}

// The start

/** Read the address, and begin its exercise. */
function begin() {
  playing = false;
  exercise = readAddress(location.hash || SCENES.start);
  document.documentElement.lang = language();
  document.title = say("title");
  for (const own of document.querySelectorAll("[data-text]")) own.textContent = say(own.dataset.text);
  at("prediction").hidden = true;
  showScenes();
  showSettings();
  applied = false;
  inTurn(async () => {
    for (const network of networks) network.settings = undefined;
    await apply();
    showCommands();
    showStatus();
    const words = exercise.problems.map(([word, allowed]) => say("bad_word", { word, allowed }));
    if (words.length) at("status").textContent = words.join(" ");
    if (exercise.predict) ask();
  });
}

function listen() {
  const buttons = {
    play: () => (playing ? pauseHere() : play()),
    step: () => inTurn(() => advance(1)).then(pauseHere),
    again: () => inTurn(restart).then(follow).then(pauseHere),
    predict: ask,
    another: () => inTurn(() => ++sequence && follow()),
  };
  for (const [id, press] of Object.entries(buttons)) at(id).onclick = press;
  const keys = { " ": "play", ".": "step", r: "again", p: "predict" };
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (event.target.closest("button, input, select, a, summary")) return;
    event.preventDefault();
    at(keys[event.key]).click();
  };
  at("timeline").oninput = () => {
    playing = false;
    const step = Number(at("timeline").value);
    cursor = step >= lastStep() ? null : step;
    showStatus();
    inTurn(follow);
  };
  at("commands").ontoggle = showCommands;
  const options = SPEEDS.map((n) => [n, n ? say("steps_a_second", { n }) : say("fastest")]);
  at("speed").append(...options.map(([value, text]) => new Option(text, value)));
  at("speed").value = speed;
  at("speed").onchange = () => (speed = Number(at("speed").value));
  window.onhashchange = begin;
  window.onresize = draw;
  matchMedia("(prefers-color-scheme: dark)").onchange = () => {
    colors.clear();
    draw();
  };
}

function main() {
  const address = workerAddress();
  networks = [new Network(address, report), new Network(address, report)];
  const rows = networks.map(figuresOf);
  at("networks").append(...rows[0].flatMap((part, i) => [part, rows[1][i]]));
  listen();
  begin();
}

main();
