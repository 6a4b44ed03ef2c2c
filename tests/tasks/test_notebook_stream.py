import hashlib

import numpy as np
import pytest

from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.task import TEST, TRAIN
from hw2exp.tasks.temporal_order import CLASSES, PAD, SYMBOLS, TemporalOrder
from hw2exp.tasks.variants.hochreiter import batches_per_epoch

EASY = TemporalOrder((7, 9), (1, 3), (4, 6))
MODERATE = TemporalOrder((60, 81), (10, 21), (45, 55))
ONE = np.zeros(1, dtype=np.uint64)


@pytest.mark.parametrize(
    ("task", "digest"),
    [
        (EASY, "7c860795000071fca1eebb5e7d8304c17c2c0bad5ce96dcaa76f5955357892c3"),
        (MODERATE, "a9f7a296554a1015fd09077332f55647a3146a649459263b736c6fd3e49919be"),
    ],
)
def test_three_epochs_are_those_of_the_public_generator(task, digest):
    """The digests were taken from the public generator's own sequences, decoded to text."""
    stream = NotebookStream(task, 32, 8382)
    text = hashlib.sha256()
    for epoch in range(3):
        last = (epoch + 1) * 31
        parts = [stream.batch(ONE, epoch * 31 + i + 1, 32, TRAIN) for i in range(31)]
        parts.append(stream.batch(ONE, last, 31 * 32, TEST))
        for symbols, labels in parts:
            for row, label in zip(symbols[0], labels[0], strict=True):
                letters = "".join(SYMBOLS[index] for index in row if index != PAD)
                text.update(f"{letters}{CLASSES[label]}\n".encode())
    assert text.hexdigest() == digest


def test_a_batch_does_not_depend_on_what_was_asked_before():
    stream = NotebookStream(EASY, 32, 8382)
    ahead = stream.batch(ONE, 40, 32, TRAIN)[0]
    again = stream.batch(ONE, 2, 32, TRAIN)[0]
    assert (NotebookStream(EASY, 32, 8382).batch(ONE, 40, 32, TRAIN)[0] == ahead).all()
    assert (NotebookStream(EASY, 32, 8382).batch(ONE, 2, 32, TRAIN)[0] == again).all()
    assert not (again == ahead).all()


def test_every_replica_gets_the_same_batch():
    symbols, labels = NotebookStream(EASY, 32, 8382).batch(np.arange(3), 1, 32, TRAIN)
    assert (symbols == symbols[:1]).all()
    assert (labels == labels[:1]).all()


def test_an_epoch_has_the_notebooks_31_batches():
    assert batches_per_epoch(32) == 31


@pytest.mark.parametrize("ranges", [((7, 9), (1, 3), (4, 6)), ((20, 21), (3, 8), (9, 18))])
def test_the_words_are_read_as_numpys_own_functions_read_them(ranges):
    """Each sequence is drawn as the notebook draws it, with ``randint`` and ``choice``."""
    stream, plain = NotebookStream(TemporalOrder(*ranges), 5, 3), np.random.RandomState(3)
    for step in range(1, 21):
        symbols, labels = stream.batch(ONE, step, 5, TRAIN)
        for row, label in zip(symbols[0], labels[0], strict=True):
            length, *places = (plain.randint(*bounds) for bounds in ranges)
            letters = "".join("abcd"[each] for each in plain.choice(4, length))
            drawn = plain.choice(4)
            marks = dict(zip(places, "XY"[drawn // 2] + "XY"[drawn % 2], strict=True))
            frame = {0: "B", length - 1: "E"} | marks
            expected = "".join(frame.get(t, letter) for t, letter in enumerate(letters))
            assert "".join(SYMBOLS[each] for each in row if each != PAD) == expected
            assert label == drawn
