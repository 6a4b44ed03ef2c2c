from hw2exp.config.settings import flat


def test_flat(compose):
    values = flat(compose("model=attn_rnn", "task.length=[50,60]"))
    assert values["model.name"] == "attn_rnn"
    assert values["task.length"] == "(50, 60)"
    assert values["stop_when_solved"] is False
    assert values["optimizer.lr"] == 0.001
    assert "seed" in values
    assert "workers" not in values
