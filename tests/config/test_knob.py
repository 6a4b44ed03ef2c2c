"""What is shape and what is data decides which runs can share a fleet."""

from hw2exp.config.knob import shape_key
from hw2exp.fleet.fleet import Fleet


def test_what_is_data_may_differ_and_what_is_shape_may_not(compose):
    base = compose("optimizer=sgd", "clip=norm", "schedule=cosine")
    same = compose(
        "optimizer=sgd", "clip=norm", "schedule=cosine", "seed=3", "optimizer.lr=0.5",
        "optimizer.momentum=0.3", "clip.max_norm=9", "schedule.min_factor=0.1", "init.scale=2",
    )  # fmt: skip
    assert shape_key(base) == shape_key(same)
    Fleet([base, same])
    for other in ("model=lstm", "model.hidden_size=7", "steps=7", "optimizer.nesterov=true"):
        config = compose(
            "optimizer=sgd", "optimizer.momentum=0.9", "clip=norm", "schedule=cosine", other
        )
        assert shape_key(config) != shape_key(base)
