import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.sweeps.grouping import default_size, group


@pytest.fixture(scope="module")
def gated(compose):
    return compose("model=gated_rnn")


@pytest.fixture(scope="module")
def jobs(compose):
    base = {
        "gated": compose("model=gated_rnn"),
        "attention": compose("model=attn_rnn"),
        "clipped": compose("model=gated_rnn", "clip=norm"),
    }
    return [
        config.model_copy(update={"seed": seed}) for seed in range(10) for config in base.values()
    ]


def test_every_fleet_can_be_built_and_every_job_is_in_one(jobs):
    fleets = group(jobs, workers=2)
    assert sorted(job for fleet in fleets for job in fleet) == list(range(len(jobs)))
    for fleet in fleets:
        assert len({jobs[job].model.name for job in fleet}) == 1
        assert len({jobs[job].clip.name for job in fleet}) == 1


def test_work_is_spread_and_the_costliest_comes_first(jobs):
    one_shape = [job for job in jobs if job.model.name == "gated_rnn" and job.clip.name == "none"]
    assert [len(fleet) for fleet in group(one_shape, workers=4)] == [3, 3, 2, 2]
    first = group(jobs, workers=2)[0]
    assert jobs[first[0]].model.name == "attn_rnn"


@given(jobs_count=st.integers(1, 300), workers=st.integers(1, 9), size=st.integers(0, 70))
@settings(max_examples=50)
def test_sizes_are_even_and_below_the_limit(gated, jobs_count, workers, size):
    config = gated.model_copy(update={"fleet_size": size})
    fleets = group([config] * jobs_count, workers)
    sizes = [len(fleet) for fleet in fleets]
    assert sum(sizes) == jobs_count
    assert max(sizes) <= (size or default_size(config))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= -(-jobs_count // workers)
