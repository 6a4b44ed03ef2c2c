// The guided scenes, each an address; what they say stands in texts.js under the same names.
"use strict";

const SCENES = {
  start: "#scene=start&model=gated_rnn&optimizer=sgd&lr=0.1&steps=300&knob=model&other=attn_rnn",
  reach: "#scene=reach&model=rnn&task=normal&lr=0.0003&steps=100&knob=scale&other=4",
  explosion: "#scene=explosion&model=attn_rnn&lr=0.3&steps=200&knob=lr&other=0.03&predict=1",
  clipping: "#scene=clipping&model=attn_rnn&lr=0.3&steps=200&knob=clip&other=1",
  brake: "#scene=brake&model=attn_rnn&task=normal&optimizer=rmsprop&lr=0.003&seed=2&steps=600&knob=clip&other=1",
};
