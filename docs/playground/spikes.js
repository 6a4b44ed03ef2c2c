// Spikes of a loss curve, as the bench defines them: the baseline of a step is the median of the
// losses of the 51 steps before it; a spike is a sequence of steps above baseline + margin, with at
// most 5 steps between them. No spike begins in the first half window.
"use strict";

const WINDOW = 51, MARGIN = 0.3, DEVIATIONS = 6, GAP = 5;
const ROBUST = 1.4826; // a normal distribution's standard deviation / median absolute deviation
const INITIAL_LOSS = Math.log(CLASSES.length); // of a network that knows nothing

function median(values) {
  const sorted = Float64Array.from(values).sort(), n = sorted.length;
  return (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
}

/**
 * Find the spikes of losses of steps 1, 2, …; each spike is { start, step, end, loss }, of which
 * `step` and `loss` are its highest.
 */
function findSpikes(losses) {
  const spikes = [];
  for (let i = WINDOW >> 1; i < losses.length && Number.isFinite(losses[i]); i++) {
    if (losses[i] <= MARGIN) continue; // no median of losses is below 0
    const before = losses.slice(Math.max(0, i - WINDOW), i), baseline = median(before);
    if (losses[i] <= baseline + MARGIN) continue;
    const deviation = ROBUST * median(before.map((loss) => Math.abs(loss - baseline)));
    if (losses[i] > baseline + Math.max(MARGIN, DEVIATIONS * deviation)) {
      extend(spikes, i + 1, losses[i]);
    }
  }
  return spikes;
}

/** Add a step above its threshold to the last spike, or begin a new one. */
function extend(spikes, step, loss) {
  const last = spikes.at(-1);
  if (!last || step - last.end > GAP + 1) return spikes.push({ start: step, step, end: step, loss });
  if (loss > last.loss) Object.assign(last, { step, loss });
  last.end = step;
}

/**
 * Return the first step after a given one at which a run blew up: the peak of a spike above ln 4, or
 * the step at which it diverged.
 */
function explosionOf(losses, ended, after = 0) {
  const high = findSpikes(losses).find(({ step, loss }) => step > after && loss > INITIAL_LOSS);
  return high ? high.step : ended ? losses.length : null;
}
