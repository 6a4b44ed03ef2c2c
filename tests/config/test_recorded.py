from omegaconf import OmegaConf

from hw2exp.config.command_line import read
from hw2exp.config.recorded import recorded_config


def test_a_config_from_before_population_statistics_is_read(tmp_path):
    """Batch normalization had a momentum then, for its running statistics."""
    config = read(["norm=batch"]).jobs[0].config
    values = config.model_dump()
    values["norm"]["momentum"] = 0.1
    del values["norm"]["population_sequences"]
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(values), tmp_path / ".hydra" / "config.yaml")
    assert recorded_config(tmp_path) == config
