// All texts of the page, by language. To add a language, add an object with the same keys; what it
// lacks is shown in English. {braces} are filled in by the page.
"use strict";

const TEXTS = {
  en: {
    language: "English",
    title: "A network that blows up under your finger",
    lead: "Two small recurrent networks train here, in your browser, from one seed and one setting apart. They read letters and tell in which order the marks X and Y came: XX is class Q, XY is R, YX is S, YY is U. Turn the learning rate up while they train, and watch the gradient grow back through time until the loss jumps.",
    scenes: "Five scenes",
    scene: {
      start: { title: "It starts at ln 4", text: "A network that knows nothing gives each of the four classes a quarter, so any loss here starts at ln 4 = 1.386, whatever the network. Press Play and see which of the two first learns that it is the order of X and Y that counts." },
      reach: { title: "A gradient that reaches back", text: "The heat map shows how much the loss depends on the state after each letter: the gradient begins at the last letter, on top, and shrinks on its way down to the first. The second network starts with recurrent weights {other} times as large, and there it grows on its way back." },
      explosion: { title: "The explosion", text: "Both networks are the same but for the learning rate. Say first which of them will blow up; then watch the gradient norm, which grows to ten times its size while the loss still looks fine." },
      clipping: { title: "Clipping", text: "The same explosion, and beside it the same network whose gradient is cut to norm {other} whenever it is longer. The gradient still grows in both, but a short step can't throw the second network far." },
      brake: { title: "Why RMSprop with clipping spikes more", text: "RMSprop divides each gradient by a running norm of the past ones, so an explosion makes the steps after it small: a brake. Clipping hides the explosion from that norm, the brake stays off, and the second network spikes more often." },
    },
    play: "Play", pause: "Pause", step: "One step", again: "Start again", predict: "Predict first",
    speed: "Speed", steps_a_second: "{n} steps/s", fastest: "as fast as possible",
    timeline: "Go back to step", sequence: "Another sequence",
    networks: ["First network", "Second network"],
    settings: "Settings of both", difference: "The second differs in", knob: "Setting", other: "Its value there",
    setting: {
      model: "Network", task: "Sequences", optimizer: "Optimizer", lr: "Learning rate",
      clip: "Clip to norm", norm: "Normalization", schedule: "Schedule",
      scale: "Initial scale", seed: "Seed", steps: "Steps of the run",
    },
    value: {
      gated_rnn: "gated RNN", attn_rnn: "attention RNN (2)", rnn: "Elman RNN (tanh)",
      easy: "easy: 7 to 8 letters", normal: "normal: 30 to 40 letters",
      sgd: "SGD, momentum 0.9", rmsprop: "RMSprop", none: "none", layer: "layer norm",
      constant: "constant", cosine: "cosine", linear: "linear decay",
    },
    no_clip: "off",
    restarts: "Settings marked ↺ start both networks again; all others act at once.",
    loss: "Loss", gradient: "Gradient norm", heat: "‖∂ℓ/∂h[t]‖, time × step", letters: "One sequence, letter by letter",
    about: {
      loss: "▼ spike · gray: before you went back",
      gradient: "before clipping; dashed: the clipping threshold",
      heat: "red: not a number",
      letters: "state h[t] after each letter, orange + / blue −; below, the predicted class; ✓ is right",
    },
    nothing: "Not started.",
    now: "Step {step}: loss {loss}, accuracy {accuracy} %, gradient norm {norm}. {spikes}",
    no_spikes: "No spike.", one_spike: "One spike, to {loss} at step {step}.",
    many_spikes: "{n} spikes, the highest to {loss} at step {step}.",
    diverged: "It diverged: at step {step} its numbers are no longer finite.",
    flow_at: "‖∂ℓ/∂h[t]‖ at t = {t}: {flow}.",
    heat_label: "{name}: gradient at the last letter {last}, at the first {first}.",
    letters_label: "{name}: {sequence} → {label}; predicted {predicted} with {share} %.",
    running: "Training.", rate: "{rate} steps/s",
    paused: "Paused at step {step}.",
    ended: "The run is over, after {steps} steps.",
    back: "Step {step}. Change a setting if you like, then play: the run branches from here.",
    question: "Which network will blow up within the next {n} steps? It blows up if its loss spikes above ln 4, or is no longer a number.",
    answers: { first: "Only the first", second: "Only the second", both: "Both", neither: "Neither" },
    you_said: "You said: {answer}. Now watch.",
    verdict: "You said: {answer}. {verdict} {facts}",
    right: "Right.", wrong: "Not this time.",
    blew_up: "{name}: at step {step}.", held: "{name}: not within {step} steps.",
    command: "Show me the command",
    command_note: "Each line makes the same run in the bench. The losses agree to six digits or more until a run turns chaotic; from there each program's rounding takes it its own way.",
    command_changed: "You changed settings on the way, at step {steps}: the line uses the last ones from the start.",
    copy: "Copy", copied: "Copied.",
    bad_word: "{word}: must be {allowed}; the default is used.",
    failed: "Something went wrong: {error}",
    keys: "Keys: Space plays and pauses, . makes one step, r starts again, p predicts. Hover or tap on a figure to read it. The address holds all settings: a link is an exercise.",
    made: "One file, no network; it is made by python -m hw2exp.playground and shows the same equations, draws and initial weights as the bench hw2exp.",
  },
};

/** Return a text of the page's language by its path, such as "scene.start.title", filled in. */
function say(path, values = {}) {
  const find = (texts) => path.split(".").reduce((found, key) => found?.[key], texts);
  const found = find(TEXTS[language()]) ?? find(TEXTS.en) ?? path;
  return typeof found !== "string" ? found : found.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** Return the language that the address asks for (lang=de), or the browser's, if there are texts. */
function language() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("lang") ?? navigator.language.slice(0, 2);
  return Object.hasOwn(TEXTS, asked) ? asked : "en";
}
