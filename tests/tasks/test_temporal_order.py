from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hw2exp.tasks.task import CHECK, TEST, TRAIN
from hw2exp.tasks.temporal_order import CLASSES, PAD, SYMBOLS, TemporalOrder, encode

NORMAL = TemporalOrder((30, 41), (2, 6), (20, 28))
P_VALUE = 1e-4
"""Fixed draws: a test either always passes or always fails; this is how odd they may look."""


def uniform(values, low, high):
    counts = Counter(values)
    assert set(counts) == set(range(low, high))
    assert chisquare([counts[value] for value in range(low, high)]).pvalue > P_VALUE


@pytest.fixture(scope="module")
def many():
    seeds = np.array([7, 8, 2**63 - 1], dtype=np.uint64)
    symbols, labels = NORMAL.batch(seeds, step=5, size=40_000)
    return symbols.reshape(-1, 41), labels.reshape(-1)


def marks(symbols):
    return np.argwhere(symbols <= SYMBOLS.index("Y"))[:, 1].reshape(-1, 2)


def test_length_marks_and_classes_are_uniform(many):
    symbols, labels = many
    lengths = (symbols != PAD).sum(1)
    places = marks(symbols) - (41 - lengths)[:, None]
    uniform(lengths.tolist(), 30, 41)
    uniform(places[:, 0].tolist(), 2, 6)
    uniform(places[:, 1].tolist(), 20, 28)
    uniform(labels.tolist(), 0, 4)


def test_distractors_are_uniform_and_independent(many):
    symbols, _ = many
    letters = symbols[(symbols >= 2) & (symbols <= 5)]
    uniform(letters.tolist(), 2, 6)
    pairs = symbols[:, 33].astype(int) * 4 + symbols[:, 34]  # neighbours near the end
    both = pairs[(symbols[:, 33:35] >= 2).all(1) & (symbols[:, 33:35] <= 5).all(1)]
    uniform((both - 10).tolist(), 0, 16)


def test_drawn_parts_are_independent_of_each_other(many):
    symbols, labels = many
    lengths = (symbols != PAD).sum(1)
    places = marks(symbols) - (41 - lengths)[:, None]
    uniform(((places[:, 0] - 2) * 8 + (places[:, 1] - 20)).tolist(), 0, 32)
    uniform(((lengths - 30) * 4 + labels).tolist(), 0, 44)


def test_sequences_are_built_as_described(many):
    symbols, labels = many
    lengths = (symbols != PAD).sum(1)
    for row, length, label in zip(symbols[:500], lengths, labels, strict=False):
        text = "".join(SYMBOLS[index] for index in row if index != PAD)
        assert (row[: 41 - length] == PAD).all()
        assert text[0] == "B"
        assert text[-1] == "E"
        assert len(text) == length
        order = "".join(symbol for symbol in text if symbol in "XY")
        assert {"XX": "Q", "XY": "R", "YX": "S", "YY": "U"}[order] == CLASSES[label]
        assert set(text[1:-1]) <= set("XYabcd")


@given(
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5),
    step=st.integers(0, 2**31),
    size=st.integers(1, 9),
    stream=st.sampled_from([TRAIN, TEST, CHECK]),
)
@settings(max_examples=50)
def test_a_batch_depends_on_its_own_seed_and_step_alone(seeds, step, size, stream):
    symbols, labels = NORMAL.batch(np.array(seeds, dtype=np.uint64), step, size, stream)
    for replica, seed in enumerate(seeds):
        alone = NORMAL.batch(np.array([seed], dtype=np.uint64), step, size, stream)
        assert (symbols[replica] == alone[0][0]).all()
        assert (labels[replica] == alone[1][0]).all()


@pytest.mark.parametrize("length", [20, 25, 64])
def test_a_torder_sequence_is_as_in_the_public_code(compose, length):
    """Its ``randint(int(l*.1)) + int(l*.1)`` and ``randint(int(l*.1)) + int(l*.5)``."""
    task = compose("task=torder", f"task.symbols={length}").task
    torder = TemporalOrder(*task.ranges, task.framed)
    symbols, labels = torder.batch(np.zeros(1, dtype=np.uint64), 1, 20_000)
    rows = symbols[0][:, 1:]
    assert (symbols[0][:, 0] == PAD).all()
    assert rows.shape == (20_000, length)
    assert set(rows.flatten().tolist()) == set(range(6))  # X, Y, a, b, c, d
    places = marks(rows)
    tenth, half = int(length * 0.1), int(length * 0.5)
    uniform(places[:, 0].tolist(), tenth, 2 * tenth)
    uniform(places[:, 1].tolist(), half, half + tenth)
    found = np.take_along_axis(rows, places, 1)
    assert (labels[0] == 2 * found[:, 0] + found[:, 1]).all()
    for column in (rows[:, 0], rows[:, -1]):  # letters, where others have B and E
        uniform(column.tolist(), 2, 6)


def test_streams_steps_and_seeds_are_disjoint():
    rows = set()
    count = 0
    for stream in (TRAIN, TEST, CHECK):
        for step in (1, 2, 3):
            symbols, _ = NORMAL.batch(np.arange(3, dtype=np.uint64), step, 100, stream)
            rows |= {row.tobytes() for row in symbols.reshape(-1, 41)}
            count += 300
    assert len(rows) == count


def test_the_whole_range_of_a_long_task_is_drawn():
    nightmare = TemporalOrder((300, 501), (10, 81), (250, 291))
    symbols, _ = nightmare.batch(np.zeros(1, dtype=np.uint64), 1, 2000)
    column = symbols[0, :, 400]
    uniform(column[(column >= 2) & (column <= 5)].tolist(), 2, 6)
    uniform((symbols[0] != PAD).sum(1).tolist(), 300, 501)


def test_text_and_encode_are_inverse():
    symbols, label = encode("BXaYbE → R", padded_length=9)
    assert symbols.tolist() == [PAD, PAD, PAD, 6, 0, 2, 1, 3, 7]
    assert NORMAL.text(symbols, label) == "BXaYbE → R"
    drawn, labels = NORMAL.batch(np.arange(2, dtype=np.uint64), 1, 50)
    for row, index in zip(drawn.reshape(-1, 41), labels.reshape(-1), strict=True):
        again, label = encode(NORMAL.text(row, index), padded_length=41)
        assert (again == row).all()
        assert label == index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BXaZYE", "unknown symbols"),
        ("BXabE", "has 1 marks"),
        ("BXXYE", "has 3 marks"),
        ("BXYE → Q", "its class is R"),
    ],
)
def test_encode_refuses_what_is_no_sequence(text, message):
    with pytest.raises(ValueError, match=message):
        encode(text)


def test_encode_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="don't fit"):
        encode("BXYE", padded_length=3)
