"""A fleet: R runs that train together as one tensor program."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.registry import equations
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.compiled_step import CompiledSteps
from hw2exp.fleet.pruning import Pruner
from hw2exp.fleet.state import FleetState, concatenate
from hw2exp.fleet.training_path import training_path
from hw2exp.kernels.choice import closed_form_of
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.models.axes import Params
from hw2exp.models.cell import Cell
from hw2exp.models.classifier import Classifier
from hw2exp.models.hyperparameters import build
from hw2exp.models.normalization import Norm
from hw2exp.models.passes import Gradient
from hw2exp.optim.clipping.protocol import Clip
from hw2exp.optim.named import in_rows
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.optim.regularizers.protocol import Regularizer
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.tasks.chosen import notebook_of, task_of
from hw2exp.tasks.task import TEST, TRAIN, Task, check_batch
from hw2exp.tasks.temporal_order import TemporalOrder


class Fleet:
    """The batched program of R configs that agree in every shared knob.

    Args:
        configs: the config of each replica.
        device: the device of the tensors.
        compiled: whether to make steps in compiled code, if all their parts have a compiled form.
        skipped: the number of training batches left out; step t trains on the batch of step
            t + skipped.
        pruning: the rule that decides at test passes which replicas leave; None: none does.

    Attributes:
        pruned_at: the step at which each config's replica left as pruned, or 0, ``(configs,)``.
        members: for each row of the state, the index of its config, ``(R,)``; R falls as replicas
            leave.
        training_path: ``compiled``, or for the plain step ``closed form`` or ``autograd``.

    Raises:
        ValueError: the configs differ in a shared knob.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        device: torch.device | str = "cpu",
        compiled: bool = True,
        skipped: int = 0,
        pruning: Pruner | None = None,
    ) -> None:
        self.skipped = skipped
        self.pruning = pruning
        self.pruned_at = np.zeros(len(configs), dtype=np.int64)
        self.config = first = configs[0]  # for shared knobs
        self.device = device
        path, _ = training_path(first, torch.device(device).type == "cpu")
        self.training_path = "closed form" if path == "compiled" and not compiled else path
        self.task: Task = task_of(first.task)
        self.notebook = notebook_of(first.task, first.batch_size)
        self.members = np.arange(len(configs))
        self._left: list[tuple[NDArray[np.int64], FleetState]] = []
        self.enlist(configs)
        params = self.model.initialize([c.init for c in configs], [c.seed for c in configs])
        rows = self.layout.rows(params)
        self.state = FleetState.initial(
            rows,
            optimizer=self.optimizer.init(rows),
            clip=self.clip.init(rows),
            schedule=self.schedule.init(len(rows), device),
        )

    def enlist(self, configs: Sequence[TrainConfig]) -> None:
        """Build everything that depends on the configs; keep the state.

        Args:
            configs: the config of each replica that still trains, with the fleet's shared knobs.
        """
        first, device = self.config, self.device
        self.configs = list(configs)
        self.seeds = np.array([config.seed for config in configs], dtype=np.uint64)

        def built(group: str, **others: Any) -> Any:
            return build(group, [getattr(config, group) for config in configs], device, **others)

        self.regularizer: Regularizer = built("regularizer")
        cell: Cell = equations("model", first.model.name)(first.model, len(self.task.symbols))
        norm: Norm = built("norm")
        classes = len(self.task.classes)
        self.model = Classifier(
            cell,
            norm,
            self.task.padded_length,
            device,
            closed_form_of(cell, norm, classes) if self.training_path != "autograd" else None,
            self.regularizer.needs_path,
            self.regularizer.value if self.regularizer.has_value else None,
            classes,
        )
        self.layout = self.model.layout()
        self.clip: Clip = in_rows(built("clip"), self.layout)
        self.schedule: Schedule = built("schedule", steps=first.steps)
        self.optimizer: Optimizer = in_rows(built("optimizer"), self.layout)
        self._compiled: CompiledSteps | None = None

    def leave(self, rows: Tensor) -> None:
        """Remove replicas from the computation; the others keep the same bits.

        Args:
            rows: mask of the replicas that leave, ``(R,)``; at least one must stay.
        """
        gone = rows.cpu().numpy()
        self._left.append((self.members[gone], self.state.take(rows)))
        self.state, self.members = self.state.take(~rows), self.members[~gone]
        self.enlist([c for c, out in zip(self.configs, gone, strict=True) if not out])

    @property
    def compiled(self) -> CompiledSteps | None:
        """Return the compiled steps; None if a part of the config has only its plain form."""
        if self.training_path == "compiled" and self._compiled is None:
            loss = self.model.closed_form
            assert isinstance(loss, SequenceLoss)
            assert isinstance(self.task, TemporalOrder)
            self._compiled = CompiledSteps(self.configs, loss, self.task, self.notebook)
        return self._compiled

    def rates(self, first: int, last: int) -> Tensor:
        """Return the learning rates of some steps, ``(n, R)`` in float64.

        Args:
            first: the first step.
            last: the last step; no test pass lies between.
        """
        factors = [self.schedule.at(t, self.state.schedule) for t in range(first - 1, last)]
        return torch.stack(factors) * self.optimizer.lr

    @property
    def outcome(self) -> FleetState:
        """Return the last state of all replicas, including those that left, in config order."""
        groups = [*self._left, (self.members, self.state)]
        order = np.argsort(np.concatenate([members for members, _ in groups]))
        return concatenate([state for _, state in groups]).take(torch.from_numpy(order))

    @property
    def params(self) -> Params:
        """Return the parameters by name, each ``(R, ...)``."""
        return self.layout.unflatten(self.state.params)

    def batch(self, step: int, stream: int, size: int) -> tuple[Tensor, Tensor]:
        """Draw a step's symbols ``(R, B, T)`` and labels ``(R, B)``.

        Args:
            step: the training step.
            stream: the task's stream, such as ``TRAIN``.
            size: the number of sequences for each replica, B.
        """
        source = self.notebook if self.notebook and stream in (TRAIN, TEST) else self.task
        drawn = step + self.skipped if stream == TRAIN else step
        symbols, labels = source.batch(self.seeds, drawn, size, stream)
        if source is self.task and not isinstance(source, TemporalOrder):
            check_batch(source, (symbols, labels), len(self.seeds), size)
        return torch.from_numpy(symbols).to(self.device), torch.from_numpy(labels).to(self.device)

    def loss_and_gradient(
        self, symbols: Tensor, labels: Tensor, keeps_flow: bool = False
    ) -> tuple[Tensor, Gradient]:
        """Run forward and backward through time.

        Args:
            symbols: indices, ``(R, B, T)``.
            labels: class indices, ``(R, B)``.
            keeps_flow: whether to compute ‖∂ℓ/∂h[t]‖, too.

        Returns:
            The gradient in rows ``(R, P)``, including the regularizer's, and the other results of
            the pass; the loss excludes the regularizer's value.
        """
        params = self.params
        back = self.model.gradient(params, symbols, labels, keeps_flow)
        grads = self.regularizer.add(back.of, self.model.cell, params, back.path)
        return self.layout.rows(grads), back

    def finish(self, params: Tensor, symbols: Tensor) -> Tensor:
        """Return updated parameters, changed by the clip if it uses the step's attention scores.

        Args:
            params: the updated parameters in rows, ``(R, P)``.
            symbols: the step's symbols, ``(R, B, T)``.
        """
        if not self.clip.needs_scores:
            return params
        scores = self.model.largest_scores(self.params, symbols)
        after = self.clip.finish(self.layout.unflatten(params), scores)
        return self.layout.rows(after)

    def accept(self, step: int, loss: Tensor, grad_norm: Tensor, proposed: FleetState) -> None:
        """Accept a step, but freeze each replica whose loss, gradient or state is not finite.

        Args:
            step: the training step.
            loss: the loss of the step, ``(R,)``.
            grad_norm: gradient norm before clipping, ``(R,)``; clipping by value would hide an ∞.
            proposed: the state after the step.
        """
        sound = loss.isfinite() & grad_norm.isfinite() & proposed.finite()
        after = proposed if bool(sound.all()) else proposed.where(sound, self.state)
        self.state = after.after(step, sound)

    def judge(self, step: int, test_loss: Tensor, test_accuracy: Tensor) -> None:
        """Update the solved counters and the schedule from a test pass, and prune.

        Args:
            step: the training step just before the test pass.
            test_loss: mean test loss, ``(R,)``.
            test_accuracy: test accuracy, ``(R,)``.
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
        if self.pruning is not None and step < config.steps:
            losses = torch.where(state.diverged_at > 0, torch.inf, test_loss)
            host = losses.double().cpu().numpy(), self.state.active.cpu().numpy()
            behind = self.pruning.behind(step, self.members, *host)
            self.pruned_at[self.members[behind]] = step
            stays = torch.from_numpy(~behind).to(self.device)
            self.state = replace(self.state, active=self.state.active & stays)
