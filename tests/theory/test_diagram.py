import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from matplotlib.path import Path

from hw2exp.theory import attention_rnn as attention
from hw2exp.theory import diagram, gated_rnn
from hw2exp.theory.drawing import draw


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_figure_1_computes_the_gated_rnn():
    params = {"W_x": random(4, 3), "W_c": random(4, 3), "W_h": random(4, 4)}
    x, h = random(3), random(4)
    drawn = diagram.gated_rnn()
    assert drawn.matrices() == set(params)
    torch.testing.assert_close(
        drawn.run(params, {"x": x, "h[t-1]": h}), gated_rnn.step(params, x, h).after
    )


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_figure_2_computes_attention_over_any_number_of_states(k):
    params = {f"{n}_{i}": random(4, 4 if i else 3) for i in range(k + 1) for n in "QKV"}
    sources = [random(3), *[random(4) for _ in range(k)]]
    drawn = diagram.attention_rnn(k)
    assert drawn.matrices() == set(params)
    named = {f"s_{i}": source for i, source in enumerate(sources)}
    torch.testing.assert_close(drawn.run(params, named), attention.step(params, sources).after)


@pytest.mark.parametrize("drawn", [diagram.gated_rnn(), diagram.attention_rnn(2)])
def test_a_drawing_has_every_name_and_no_two_things_in_one_place(drawn, tmp_path):
    from matplotlib.figure import Figure

    written = []
    original = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Figure,
            "savefig",
            lambda figure, *a, **k: (
                written.extend(figure.axes[0].texts),
                original(figure, *a, **k),
            ),
        )
        draw(drawn, tmp_path / "one.svg")
    texts = [text for text in written if text.get_text()]
    names = {text.get_text() for text in texts}
    assert {f"${matrix}$" for matrix in drawn.matrices()} <= names
    assert {f"${node.label}$" for node in drawn.nodes.values() if node.label} <= names
    boxes = [text.get_window_extent() for text in texts]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])

    _no_arrow_ends_below_a_box((tmp_path / "one.svg").read_text())

    draw(drawn, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert ElementTree.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")


def _no_arrow_ends_below_a_box(svg):
    """Which happens if boxes are measured at another resolution than the file's."""
    shapes = {"#dbe9f6": [], "#fdf0d5": [], "#333333": []}
    for outline, color in re.findall(r'<path d="([^"]*)"[^>]*style="fill: (#[0-9a-f]+)', svg):
        points = re.findall(r"(-?[\d.]+) (-?[\d.]+)", outline)
        if color in shapes:
            shapes[color].append(Path([(float(x), float(y)) for x, y in points]))
    quantities, operations, heads = shapes.values()
    boxes = [*quantities, *operations]
    assert len(heads) > 5
    for head in heads:
        assert not any(box.contains_points(head.vertices).any() for box in boxes)
