"""The jobs of a large sweep are those of every combination, whatever is data."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hw2exp.config.axes import Axes, Axis


@st.composite
def some_axes(draw):
    sizes = draw(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5))
    return Axes(
        [
            Axis(
                f"key{place}",
                [f"key{place}={value}" for value in range(size)],
                list(range(size)) if data and size > 1 else None,
            )
            for place, (size, data) in enumerate(sizes)
        ]
    )


@given(some_axes())
def test_jobs_are_numbered_as_every_combination(axes):
    lines = [list(each) for each in product(*(axis.lines for axis in axes.axes))]
    assert [axes.lines(number) for number in range(len(axes))] == lines


@given(some_axes())
def test_jobs_of_a_program_differ_in_data_alone(axes):
    programs = [own.tolist() for own in axes.programs()]
    assert sorted(number for own in programs for number in own) == list(range(len(axes)))
    fixed = [n for n, axis in enumerate(axes.axes) if axis.values is None]
    for program, own in enumerate(programs):
        assert own == sorted(own)
        assert len(own) == axes.data_size
        assert {axes.program(number) for number in own} == {program}
        assert len({tuple(axes.lines(number)[n] for n in fixed) for number in own}) == 1


@given(some_axes())
def test_samples_hold_both_ends_of_all_data_in_every_program(axes):
    samples = set(axes.samples())
    for own in axes.programs():
        for axis in axes.swept:
            if axis.values is not None:
                seen = {axes.data(n)[axis.key] for n in samples & set(own.tolist())}
                assert {min(axis.values), max(axis.values)} <= seen
