// The page: its state, and what happens when something is pressed.
"use strict";

const SPEEDS = [2, 20, 100, 0]; // steps a second; 0: as fast as possible
const TURN = 40; // milliseconds of training between two looks at the page

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
  const starts = ({ settings }, i) => !settings || fixed.some((name) => settings[name] !== wanted[i][name]);
  if (networks.some(starts)) await restart();
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
    const began = performance.now();
    const asked = speed ? Math.max(1, Math.round((speed * TURN) / 1000)) : Infinity;
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
    if (exercise.predict) ask(false);
  });
}

function listen() {
  const buttons = {
    play: () => (playing ? pauseHere() : play()),
    step: () => inTurn(() => advance(1)).then(pauseHere),
    again: () => inTurn(restart).then(follow).then(pauseHere),
    predict: () => ask(),
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
