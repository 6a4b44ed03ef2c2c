// The controls of settings, made from what settings.js says of each.
"use strict";

const NOTCHES = 200;

const at = (id) => document.getElementById(id);

/** Make an element with properties, and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Return a value of a setting as people read it. */
function shown(name, value) {
  if (SETTINGS[name].choices) return say(`value.${value}`);
  return value === SETTINGS[name].off ? say("no_clip") : String(value);
}

/** Return a place on a logarithmic slider as a value of two digits, or as a value of a setting. */
function valueAt({ low, high, off }, place) {
  if (off !== undefined && place > NOTCHES) return off;
  return Number((low * (high / low) ** (place / NOTCHES)).toPrecision(2));
}

function placeOf({ low, high, off }, value) {
  return value === off ? NOTCHES + 1 : Math.round((Math.log(value / low) / Math.log(high / low)) * NOTCHES);
}

/** Make the control of a setting; `use` is called with each new value. */
function controlOf(name, value, use) {
  const { choices, logarithmic } = SETTINGS[name];
  if (choices) return selectOf(choices.map((choice) => [choice, shown(name, choice)]), value, use);
  return logarithmic ? sliderOf(name, value, use) : numberOf(name, value, use);
}

function selectOf(options, value, use) {
  const select = element("select", {}, ...options.map(([own, text]) => new Option(text, own)));
  select.value = value;
  select.onchange = () => use(select.value);
  return [select];
}

function sliderOf(name, value, use) {
  const setting = SETTINGS[name], max = NOTCHES + (setting.off === undefined ? 0 : 1);
  const slider = element("input", { type: "range", min: 0, max, value: 0 });
  const output = element("output", { ariaHidden: "true" }); // the slider itself says it, see below
  const show = (current) => {
    output.textContent = shown(name, current);
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.value = placeOf(setting, value);
  show(value);
  slider.oninput = () => {
    const current = valueAt(setting, Number(slider.value));
    show(current);
    use(current);
  };
  return [slider, output]; // a label belongs to the first of these that it holds
}

function numberOf(name, value, use) {
  const { low, high } = SETTINGS[name];
  const input = element("input", { type: "number", min: low, max: high, step: 1, value });
  input.onchange = () => {
    const nearest = Math.max(low, Math.min(high, Math.round(input.value) || low));
    if (problemOf(name, input.value)) input.value = nearest;
    use(Number(input.value));
  };
  return [input];
}

/** Make a label around the control of a setting. */
function labeled(text, control) {
  return element("label", {}, element("span", { textContent: text }), ...control);
}
