"""A fleet: R runs that train together as one tensor program, and their state."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp import optimizers
from hw2exp.axes import Params, State
from hw2exp.config.groups import Task
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet_state import FleetState, Layout, concatenate
from hw2exp.models import CELLS
from hw2exp.models.classifier import Classifier, Gradient
from hw2exp.notebook_stream import NotebookStream
from hw2exp.stabilizers import clip, norm, regularizer, schedule
from hw2exp.task import CHECK, PAD, POPULATION, TEST, TRAIN, TemporalOrder

FRESH_SEQUENCES = 1024
"""How many sequences the initial loss and population statistics are measured on, at least."""


class Fleet:
    """The batched program of R configs that agree in all that fixes its shape.

    Args:
        configs: one config a replica.
        device: where the tensors live.

    Attributes:
        members: which replica of the configs each row of the state belongs to, ``(R,)``; R falls
            as replicas leave.

    Raises:
        ValueError: the configs differ in a shared knob.
    """

    def __init__(self, configs: Sequence[TrainConfig], device: torch.device | str = "cpu") -> None:
        self.config = first = configs[0]  # for shared knobs
        self.device = device
        task = TemporalOrder(*first.task.ranges, first.task.framed)
        self.task = task
        self.notebook = (
            NotebookStream(task, first.batch_size, first.task.notebook_seed)
            if isinstance(first.task, Task) and first.task.stream == "notebook"
            else None
        )
        self.members = np.arange(len(configs))
        self._left: list[tuple[NDArray[np.int64], FleetState]] = []
        self._enlist(configs)
        params = self.model.initialize([c.init for c in configs], [c.seed for c in configs])
        self.layout = Layout(params)
        self.state = self._initial_state(self.layout.flatten(list(params.values())))

    def _enlist(self, configs: Sequence[TrainConfig]) -> None:
        """Set up all that depends on who takes part."""
        first, device = self.config, self.device
        self.configs = list(configs)
        self.seeds = np.array([config.seed for config in configs], dtype=np.uint64)
        self.regularizer = regularizer.build([config.regularizer for config in configs], device)
        self.model = Classifier(
            CELLS[first.model.name](first.model, PAD),
            norm.build([config.norm for config in configs], device),
            self.task.padded_length,
            device,
            first.closed_form,
            self.regularizer.needs_path,
        )
        self.clip = clip.build([config.clip for config in configs], device)
        self.schedule = schedule.build([c.schedule for c in configs], first.steps, device)
        self.optimizer = optimizers.build([config.optimizer for config in configs], device)

    def leave(self, rows: Tensor) -> None:
        """Take replicas out, so that no work is done for them; the others keep their bits.

        Args:
            rows: which of those that still take part, a mask ``(R,)``; not all.
        """
        gone = rows.cpu().numpy()
        self._left.append((self.members[gone], self.state.take(rows)))
        self.state, self.members = self.state.take(~rows), self.members[~gone]
        self._enlist([c for c, out in zip(self.configs, gone, strict=True) if not out])

    @property
    def outcome(self) -> FleetState:
        """The last state of all replicas that ever took part, in the order of their configs."""
        groups = [*self._left, (self.members, self.state)]
        order = np.argsort(np.concatenate([members for members, _ in groups]))
        return concatenate([state for _, state in groups]).take(torch.from_numpy(order))

    def _initial_state(self, params: Tensor) -> FleetState:
        replicas = len(self.configs)
        never = torch.zeros(replicas, dtype=torch.int64, device=self.device)
        return FleetState(
            params=params,
            optimizer=self.optimizer.init(params),
            clip=self.clip.init(replicas, self.device),
            schedule=self.schedule.init(replicas, self.device),
            active=torch.ones(replicas, dtype=torch.bool, device=self.device),
            step=never,
            diverged_at=never,
            solved_at=never,
            passes=never,
        )

    @property
    def params(self) -> Params:
        """The parameters by name, each ``(R, ...)``."""
        return self.layout.unflatten(self.state.params)

    def batch(self, step: int, stream: int, size: int) -> tuple[Tensor, Tensor]:
        """Draw a step's symbols ``(R, B, T)`` and labels ``(R, B)``.

        Args:
            step: the training step.
            stream: which of the task's streams.
            size: sequences a replica.
        """
        replayed = self.notebook is not None and stream in (TRAIN, TEST)
        source = self.notebook if replayed and self.notebook else self.task
        symbols, labels = source.batch(self.seeds, step, size, stream)
        return torch.from_numpy(symbols).to(self.device), torch.from_numpy(labels).to(self.device)

    def loss_and_gradient(
        self, symbols: Tensor, labels: Tensor, keeps_flow: bool = False
    ) -> tuple[Tensor, Gradient]:
        """Run forward and backward through time.

        Args:
            symbols: ``(R, B, T)``.
            labels: ``(R, B)``.
            keeps_flow: say how large ∂ℓ/∂h[t] is.

        Returns:
            The gradient in rows ``(R, P)``, a regularizer's among it, and what else the pass has
            computed; a regularizer's value is no part of the loss.
        """
        params = self.params
        back = self.model.gradient(params, symbols, labels, keeps_flow)
        grads = self.regularizer.add(back.of, self.model.cell, params, back.path)
        return self.layout.flatten(list(grads.values())), back

    @torch.no_grad()
    def initial(self) -> tuple[Tensor, Tensor]:
        """Measure loss and accuracy of a large fresh batch before training, each ``(R,)``.

        It is read in batches of the training's size, since batch statistics depend on it.
        """
        parts = [self.model.losses(self.params, *part)[:2] for part in self._fresh(0, CHECK)]
        losses, correct = (torch.cat(column, 1) for column in zip(*parts, strict=True))
        return losses.mean(1), correct.double().mean(1)

    def _fresh(self, step: int, stream: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw ``FRESH_SEQUENCES`` or a few more, in batches of the training's size."""
        size = self.config.batch_size
        batches = -(-FRESH_SEQUENCES // size)
        symbols, labels = self.batch(step, stream, batches * size)
        return zip(symbols.chunk(batches, 1), labels.chunk(batches, 1), strict=True)

    @torch.no_grad()
    def population(self, step: int) -> State | None:
        """Estimate the statistics that a norm over the batch goes by in a test.

        They describe the present parameters: means over fresh training batches, of the batch's mean
        and of its unbiased variance (Ioffe & Szegedy 2015, algorithm 2; Cooijmans et al. 2016,
        section 4.1). Running averages would lag behind parameters that move fast.

        Args:
            step: the training step whose fresh batches are drawn.

        Returns:
            Mean and variance of each term, each ``(R, T, *features)``; None for other norms.
        """
        if not self.model.norm.over_batch:
            return None
        sums: dict[str, Tensor] = {}
        count = 0
        for symbols, labels in self._fresh(step, POPULATION):
            _, _, seen = self.model.losses(self.params, symbols, labels)
            for name, value in seen.items():
                sums[name] = sums[name] + value.double() if name in sums else value.double()
            count += 1
        return {name: (total / count).to(self.state.params.dtype) for name, total in sums.items()}

    @torch.no_grad()
    def test(self, step: int) -> tuple[Tensor, Tensor]:
        """Make a test pass: each test batch's loss, and the pass's accuracy.

        Args:
            step: the training step after which it comes.

        Returns:
            Losses ``(R, batches)`` and accuracy ``(R,)``.
        """
        size, batches = self.config.batch_size, self.config.eval_batches
        symbols, labels = self.batch(step, TEST, batches * size)
        losses, correct, _ = self.model.losses(self.params, symbols, labels, self.population(step))
        return losses.view(-1, batches, size).mean(2), correct.double().mean(1)

    def advance(self, step: int, loss: Tensor, norm: Tensor, proposed: FleetState) -> None:
        """Accept a step, except for replicas that it would turn non-finite: these are frozen.

        Args:
            step: the step.
            loss: its loss, ``(R,)``.
            norm: the norm of its gradient, ``(R,)``; clipping by value would make a number of ∞.
            proposed: the state after it.
        """
        before = self.state
        sound = loss.isfinite() & norm.isfinite() & proposed.finite()
        after = proposed if bool(sound.all()) else proposed.where(sound, before)
        self.state = replace(
            after,
            active=sound,
            step=torch.full_like(before.step, step),
            diverged_at=torch.where(sound, before.diverged_at, step),
        )

    def judge(self, step: int, test_loss: Tensor, test_accuracy: Tensor) -> None:
        """Note what a test pass says: is the task solved, has the loss reached a plateau.

        Args:
            step: the training step after which the pass came.
            test_loss: ``(R,)``.
            test_accuracy: ``(R,)``.
        """
        config, state = self.config, self.state
        reached = test_accuracy >= config.solved_accuracy
        passes = torch.where(reached, state.passes + 1, 0)
        newly = (passes >= config.solved_passes) & (state.solved_at == 0)
        after = replace(
            state,
            schedule=self.schedule.observe(test_loss, state.schedule),
            passes=passes,
            solved_at=torch.where(newly, step, state.solved_at),
        )
        self.state = after.where(state.active, state)
        if config.stop_when_solved:
            self.state = replace(self.state, active=state.active & (self.state.solved_at == 0))
