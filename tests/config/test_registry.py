"""The one door for choices: the package's own, and those of a user's code."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from hw2exp.config import groups, registry
from hw2exp.config.help import help_text
from hw2exp.config.knob import per_replica
from hw2exp.config.registry import CHOICES, register
from hw2exp.models.hyperparameters import build
from hw2exp.optim.clipping.protocol import NoClip


class HalvingKnobs(groups.Clip):
    share: float = per_replica("what stays of the gradient", gt=0, le=1)


@dataclass(frozen=True)
class Halving(NoClip):
    share: torch.Tensor


@pytest.fixture
def halving():
    register("clip", "halving", HalvingKnobs, share=0.5)(Halving)
    yield
    del registry._SECTIONS["clip"]["halving"]
    del registry._EQUATIONS["clip", "halving"]
    del registry.ADDED_CHOICES["clip", "halving"]


def test_a_choice_of_a_users_code_comes_through_the_same_door(halving):
    assert CHOICES["clip"]["halving"] is HalvingKnobs
    assert registry.ADDED_CHOICES["clip", "halving"] == {"name": "halving", "share": 0.5}
    made = build("clip", [HalvingKnobs(name="halving", share=share) for share in (0.5, 1.0)])
    assert isinstance(made, Halving)
    assert made.share.tolist() == [0.5, 1.0]
    assert "clip.share               what stays of the gradient" in help_text()


@pytest.mark.parametrize(("name", "taken"), [("halving", "Halving"), ("zclip", "ZClip")])
def test_a_name_is_given_once(halving, name, taken):
    other = type("Other", (Halving,), {})
    with pytest.raises(ValueError, match=f"^clip={name} exists already: {taken}$"):
        register("clip", name, HalvingKnobs)(other)
    for wrong in ("a,b", "../x", "a=b", "", "a b"):
        with pytest.raises(ValueError, match=r"must be a name of letters, digits and _$"):
            register("clip", wrong, HalvingKnobs)(other)


def test_a_class_defined_again_takes_its_place(halving):
    """As by ``importlib.reload``, or by a notebook's cell that runs again."""
    again = type("Halving", (Halving,), {"__module__": Halving.__module__})
    register("clip", "halving", HalvingKnobs, share=0.25)(again)
    assert isinstance(build("clip", [HalvingKnobs(name="halving", share=0.5)]), again)
    assert registry.ADDED_CHOICES["clip", "halving"]["share"] == 0.25


def test_all_knobs_are_known_without_anything_heavy():
    program = (
        "import sys; from hw2exp.config.registry import CHOICES; assert all(CHOICES.values());"
        "print(sorted({'torch', 'numba', 'numpy', 'matplotlib', 'polars'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
