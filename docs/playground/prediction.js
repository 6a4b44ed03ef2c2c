// "Predict first": the page asks which network will blow up, trains, and tells.
"use strict";

const PREDICTED = 200; // most steps that a prediction is about

/** Ask which network will blow up; the keyboard goes to the answers if a person asked for it. */
function ask(focus = true) {
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
    if (focus) at("prediction").querySelector("button").focus({ preventScroll: true });
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
  const verdict = { answer: say(`answers.${said}`), verdict: say(said === truth ? "right" : "wrong") };
  at("question").textContent = say("verdict", { ...verdict, facts: facts.join(" ") });
  prediction = null;
}
