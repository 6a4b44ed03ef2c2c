// What is shown: figures, numbers, texts, controls.
"use strict";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

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
  const lengths = networks.flatMap(({ losses, before }) => [losses.length, before.losses.length]);
  const longest = Math.max(...lengths), most = Math.max(...networks.map(({ settings }) => settings.steps));
  const N = Math.max(longest, Math.min(most, NICE.find((steps) => steps >= longest)));
  const looked = hover?.step ?? cursor;
  const losses = rangeOf(networks.flatMap(({ losses: own, before }) => [own, before.losses]));
  const norms = rangeOf(networks.flatMap(({ norms: own, before }) => [own, before.norms]));
  networks.forEach((network, i) => {
    const own = i ? "second" : "first", { canvases, settings, before } = network;
    const common = { N, cursor: looked, ended: network.ended && network.step };
    const marks = findSpikes(network.losses).map(({ step, loss }) => ({ step, value: loss }));
    const curves = (old, values) => [
      { values: old, color: "ghost", width: 1 }, { values, color: own, width: 1.6 }];
    drawCurves(canvases.loss, curves(before.losses, network.losses), {
      ...common, ...losses, marks, reference: { value: INITIAL_LOSS, label: "ln 4" } });
    const threshold = settings.clip ? { value: settings.clip, label: String(settings.clip) } : null;
    drawCurves(canvases.gradient, curves(before.norms, network.norms), {
      ...common, ...norms, reference: threshold });
    drawHeatMap(canvases.heat, network.flows, paddedLength(settings.task), N, looked);
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
  const spikes = findSpikes(losses), highest = [...spikes].sort((a, b) => b.loss - a.loss)[0];
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
  const ends = flow && { name, last: short(flow.at(-1)), first: short(flow[0]) };
  const heat = flow ? say("heat_label", ends) : `${name}, ${say("heat")}. ${now}`;
  canvases.heat.setAttribute("aria-label", heat);
  if (seen) canvases.letters.setAttribute("aria-label", readingOf(seen, name));
}

/** Say in words how a network reads its sequence. */
function readingOf({ symbols, label, predictions }, name) {
  const last = [...predictions.slice(-C)], best = last.indexOf(Math.max(...last));
  const letters = [...symbols].filter((symbol) => symbol !== PAD).map((symbol) => SYMBOLS[symbol]).join("");
  const prediction = { predicted: CLASSES[best] ?? "–", share: Math.round(100 * last[best]) };
  return say("letters_label", { name, sequence: letters, label: CLASSES[label], ...prediction });
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
  const known = Object.hasOwn(SCENES, exercise.scene ?? "");
  at("scene-text").textContent = known ? say(`scene.${exercise.scene}.text`, { other }) : "";
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
    const line = element("pre", { textContent: commandOf(settings) });
    const button = element("button", { textContent: say("copy") });
    button.onclick = () => {
      getSelection().selectAllChildren(line);
      if (document.execCommand("copy")) button.textContent = say("copied"); // in files, too
    };
    return [element("h2", { textContent: say(`networks.${i}`) }), line, button];
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
    const heading = element("strong", { textContent: say(kind) }, which);
    return element("figure", {}, element("figcaption", {}, heading, ...bar, about), canvas);
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
