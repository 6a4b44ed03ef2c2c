"""Define diagrams of cells as data: nodes compute, arrows carry values.

A diagram can be drawn and run. Running it returns the cell's state, so that the drawing can be
checked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.models.axes import Params

Values = Sequence[Tensor]

OPERATIONS: dict[str, Callable[[Values], Tensor]] = {
    "given": lambda values: values[0],
    "+": lambda values: torch.stack(list(values)).sum(0),
    "⊙": lambda values: values[0] * values[1],
    "·": lambda values: values[0] @ values[1],
    "σ": lambda values: torch.sigmoid(values[0]),
    "1−": lambda values: 1 - values[0],
    "softargmax": lambda values: torch.softmax(torch.stack(list(values)), 0),
}
"""Functions from the values of a node's arrows, in their order, to the node's value."""


@dataclass(frozen=True)
class Node:
    """A quantity, or an operation.

    Args:
        label: the drawn label, as mathtext; for an operation its key is drawn instead.
        operation: a key of ``OPERATIONS``.
        at: the drawn position (x, y).
    """

    label: str
    operation: str
    at: tuple[float, float]


@dataclass(frozen=True)
class Arrow:
    """A value passed from one node to another.

    Args:
        start: the name of the node it leaves.
        end: the name of the node it enters.
        matrix: the name of the parameter that multiplies the value, or empty.
        element: the index of the vector element that is passed; None for the whole vector.
        label: the value's name in the equations, as mathtext; a matrix is drawn instead of it.
        label_at: the position of the label, from 0 at the start to 1 at the end.
    """

    start: str
    end: str
    matrix: str = ""
    element: int | None = None
    label: str = ""
    label_at: float = 0.5


@dataclass(frozen=True)
class Diagram:
    """One step of a cell.

    Args:
        nodes: the nodes by name, in an order in which they can be computed.
        arrows: the arrows; those into one node in the order of its operands.
        result: the name of the node that is h[t].
    """

    nodes: Mapping[str, Node]
    arrows: Sequence[Arrow]
    result: str

    def matrices(self) -> set[str]:
        """Return the names of the parameters on the arrows."""
        return {arrow.matrix for arrow in self.arrows if arrow.matrix}

    def run(self, params: Params, sources: Mapping[str, Tensor]) -> Tensor:
        """Compute h[t] as drawn, from the values of the nodes that no arrow enters."""
        values: dict[str, Tensor] = dict(sources)
        for name, node in self.nodes.items():
            if name not in values:
                arriving = [_carried(a, values, params) for a in self.arrows if a.end == name]
                values[name] = OPERATIONS[node.operation](arriving)
        return values[self.result]


def _carried(arrow: Arrow, values: Mapping[str, Tensor], params: Params) -> Tensor:
    value = values[arrow.start]
    if arrow.element is not None:
        value = value[arrow.element]
    return params[arrow.matrix] @ value if arrow.matrix else value


def gated_rnn() -> Diagram:
    """Return figure 1: the gated RNN."""
    nodes = {
        "x": Node("x[t]", "given", (0, 0)),
        "h[t-1]": Node("h[t-1]", "given", (0, 3.2)),
        "z": Node("", "+", (2.2, 1.6)),
        "c": Node("", "σ", (4, 1.6)),
        "rest": Node("", "1−", (6.6, 1.6)),
        "kept": Node("", "⊙", (6.6, 3.2)),
        "written": Node("", "⊙", (8.6, 0)),
        "sum": Node("", "+", (8.6, 3.2)),
        "h": Node("h[t]", "given", (10.4, 3.2)),
    }
    arrows = [
        Arrow("x", "z", matrix="W_c"),
        Arrow("h[t-1]", "z", matrix="W_h"),
        Arrow("z", "c"),
        Arrow("c", "kept", label="c[t]"),
        Arrow("h[t-1]", "kept", label="h[t-1]"),
        Arrow("c", "rest", label="c[t]"),
        Arrow("rest", "written", label="1-c[t]"),
        Arrow("x", "written", matrix="W_x"),
        Arrow("kept", "sum"),
        Arrow("written", "sum"),
        Arrow("sum", "h"),
    ]
    return Diagram(nodes, arrows, "h")


ROW = 3.0


def attention_rnn(lags: int) -> Diagram:
    """Return figure 2: AttentionRNN(k), where k is ``lags``."""
    middle = -ROW * (lags // 2) + 0.75
    nodes: dict[str, Node] = {}
    for i in range(lags + 1):
        y = -ROW * i
        nodes[f"s_{i}"] = Node("x[t]" if i == 0 else f"h[t-{i}]", "given", (0, y))
        for name, height in (("q", 1.0), ("k", 0.1), ("v", -0.9)):
            nodes[f"{name}_{i}"] = Node(f"{name}_{i}", "given", (2.6, y + height))
        nodes[f"w_{i}"] = Node("", "·", (4.4, y + 0.55))
    nodes["a"] = Node("", "softargmax", (6.8, middle))
    for i in range(lags + 1):
        nodes[f"part_{i}"] = Node("", "⊙", (9.2, -ROW * i - 0.9))
    nodes["sum"] = Node("", "+", (11, -ROW * lags / 2 - 0.9))
    nodes["h"] = Node("h[t]", "given", (12.6, -ROW * lags / 2 - 0.9))
    arrows = []
    for i in range(lags + 1):
        arrows += [Arrow(f"s_{i}", f"{n.lower()}_{i}", matrix=f"{n}_{i}") for n in "QKV"]
        arrows += [Arrow(f"q_{i}", f"w_{i}"), Arrow(f"k_{i}", f"w_{i}")]
        arrows += [Arrow(f"w_{i}", "a", label=f"w_{i}", label_at=0.3)]
        arrows += [Arrow("a", f"part_{i}", element=i, label=f"a_{i}", label_at=0.6)]
        arrows += [Arrow(f"v_{i}", f"part_{i}"), Arrow(f"part_{i}", "sum")]
    return Diagram(nodes, [*arrows, Arrow("sum", "h")], "h")
