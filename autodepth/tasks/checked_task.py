"""A task of one's own as the search meets it: what it gives is looked at.

Whatever its code raises or gives that cannot be used is told with file and line.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.errors import AutodepthError, TaskError, did_you_mean
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.running.own_modules import is_installed
from autodepth.policy.training_settings import TrainingSettings
from autodepth.tasks.task import Batch, Meter, Metric, Split, Task


class CheckedTask(Task):
    """Calls another task, and refuses what it must not give.

    Args:
        task: the other one.
        name: what a person calls it.

    Raises:
        TaskError: its metrics are none.
    """

    def __init__(self, task: Task, name: str) -> None:
        self.inner, self.name = task, name
        self.metrics: Mapping[str, Metric] = _metrics_of(task, name)  # type: ignore[misc]
        self.outputs, self.names = task.outputs, task.names
        self.normalisation = task.normalisation
        self._shape: tuple[int, ...] | None = None

    def place(self, method: str) -> str:
        """Return `file:line` of a method of the task; empty where it has no source."""
        return place_of(getattr(type(self.inner), method, None))

    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> CheckedBatches:
        """Return batches of a split that are looked at as they come.

        Raises:
            TaskError: they are none, or have no length.
        """
        with self.told("batches"):
            found = self.inner.batches(split, batch_size=batch_size, generator=generator)
            again = hasattr(found, "__iter__") and not hasattr(found, "__next__")
            if not again or not hasattr(found, "__len__"):
                raise self.mistake(
                    "batches",
                    f"batches({split!r}) must have a length and go on anew each time, "
                    f"but is {found!r:.60}",
                )
            if len(found) == 0:  # type: ignore[arg-type]
                raise self.mistake("batches", f"batches({split!r}) must hold some, but holds none")
        return CheckedBatches(self, found, split)

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch.

        Raises:
            TaskError: it is no number that can be derived.
        """
        return self._number("loss", lambda: self.inner.loss(outputs, targets))

    def training_loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Tensor:
        """Return the loss of a training step; errors as of `loss`."""
        return self._number(
            "training_loss" if type(self.inner).training_loss is not Task.training_loss else "loss",
            lambda: self.inner.training_loss(outputs, targets, label_smoothing),
        )

    def summed_loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss summed over the examples of a batch; errors as of `loss`."""
        return self._number("loss", lambda: self.inner.summed_loss(outputs, targets))

    def divergence(self, outputs: Any, whole: Any) -> Tensor:
        """Return how far outputs are from the whole network's."""
        with self.told("divergence"):
            return self.inner.divergence(outputs, whole)

    def training_head(self) -> nn.Module | None:
        """Return what outputs go through in training.

        Raises:
            TaskError: it is no module.
        """
        with self.told("training_head"):
            head = self.inner.training_head()
        if head is not None and not isinstance(head, nn.Module):
            raise self.mistake(
                "training_head", f"training_head must give a Module or None, but gave {head!r:.60}"
            )
        return head

    def targets_spread(self) -> tuple[Tensor, Tensor] | None:
        """Return mean and standard deviation of the numbers that the network is to give.

        Raises:
            TaskError: they are not two tensors of a number per output.
        """
        with self.told("targets_spread"):
            spread = self.inner.targets_spread()
        if spread is None:
            return None
        given = isinstance(spread, tuple) and all(isinstance(part, Tensor) for part in spread)
        if not given or [part.shape for part in spread] != 2 * [torch.Size([self.outputs])]:
            raise self.mistake(
                "targets_spread",
                f"targets_spread must give two tensors of {self.outputs} numbers or None, "
                f"but gave {spread!r:.60}",
            )
        return spread

    def for_network(self, network: NetworkSpec) -> CheckedTask:
        """Return the task as it is for one network."""
        with self.told("for_network"):
            inner = self.inner.for_network(network)
        return self if inner is self.inner else CheckedTask(inner, self.name)

    def trained_by(self, settings: TrainingSettings) -> CheckedTask:
        """Return the task as training by settings has it."""
        with self.told("trained_by"):
            inner = self.inner.trained_by(settings)
        return self if inner is self.inner else CheckedTask(inner, self.name)

    def _number(self, method: str, compute: Callable[[], Tensor]) -> Tensor:
        with self.told(method):
            loss = compute()
        if not isinstance(loss, Tensor) or loss.ndim:
            got = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
            raise self.mistake(
                method, f"{method} must give a tensor of one number, but gave {got:.60}"
            )
        return loss

    def meter(self) -> Meter:
        """Return what measures a whole split, told by its mistakes."""
        with self.told("meter"):
            return _CheckedMeter(self, self.inner.meter())

    def distillation(self, outputs: Any, teachers: Any, temperature: float) -> Tensor:
        """Return how far outputs are from a teacher's."""
        with self.told("distillation"):
            return self.inner.distillation(outputs, teachers, temperature)

    def hits(self, outputs: Any, targets: Any) -> Tensor | None:
        """Return how many examples of a training batch are right."""
        with self.told("hits"):
            return self.inner.hits(outputs, targets)

    def mistake(self, method: str, told: str) -> TaskError:
        """Return an error that names the place of a method."""
        return TaskError(f"{self.place(method) or self.name}: {told}")

    @contextmanager
    def told(self, method: str) -> Iterator[None]:
        """Tell whatever the block raises with file and line.

        Raises:
            TaskError: it raised something.
        """
        try:
            yield
        except AutodepthError:
            raise
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            where = line_of(error, self.inner) or self.place(method) or self.name
            raise TaskError(f"{where}: {method} failed: {type(error).__name__}: {error}") from error


class CheckedBatches:
    """Batches of a split, each of which must be inputs of one shape, and targets.

    Args:
        task: whose they are.
        found: what it gave.
        split: of which split.
    """

    def __init__(self, task: CheckedTask, found: Any, split: Split) -> None:
        self._task, self._found, self._split = task, found, split

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Batch]:
        with self._task.told("batches"):
            iterator = iter(self._found)
        number = 0
        while True:
            with self._task.told("batches"):
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield self._checked(batch, number)
            number += 1

    def _checked(self, batch: Any, number: int) -> Batch:
        what = f"batch {number} of {self._split}"
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise self._mistake(f"{what} must be (inputs, targets), but is {batch!r:.60}")
        inputs, targets = batch
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2:
            got = f"{inputs.dtype}" if isinstance(inputs, Tensor) else type(inputs).__name__
            raise self._mistake(f"inputs of {what} must be a tensor of floats, but are {got}")
        shape = tuple(inputs.shape[1:])
        expected = self._task._shape or shape  # noqa: SLF001 - one for all of its batches
        self._task._shape = expected  # noqa: SLF001
        if shape != expected:
            raise self._mistake(
                f"inputs of {what} must be of shape {_shown(expected)} as those before, "
                f"but are {_shown(shape)}"
            )
        return inputs, targets

    def _mistake(self, told: str) -> TaskError:
        return self._task.mistake("batches", told)


class _CheckedMeter:
    def __init__(self, task: CheckedTask, meter: Meter) -> None:
        self._task, self._meter = task, meter
        own = type(task.inner).meter is not Task.meter
        self._method = "meter" if own else "measure"

    def update(self, outputs: Any, targets: Any) -> None:
        with self._task.told(self._method):
            self._meter.update(outputs, targets)

    def compute(self) -> dict[str, Any]:
        with self._task.told(self._method):
            found = dict(self._meter.compute())
        if missing := [name for name in self._task.metrics if name not in found]:
            raise self._task.mistake(
                self._method,
                f"{self._method} must give {', '.join(self._task.metrics)}, but {missing[0]!r} is "
                f"missing{did_you_mean(missing[0], found) or f' among {list(found)}'}",
            )
        return {name: found[name] for name in self._task.metrics}


def line_of(error: BaseException, task: Task) -> str:
    """Return `file:line` of the innermost frame in the task's own folder; empty without one."""
    home = source_of(type(task))
    if home is None:
        return ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(home.parent):
            return f"{_short(frame.filename)}:{frame.lineno}"
    return ""


def place_of(thing: Callable[..., Any] | type | None) -> str:
    """Return `file:line` of a function or class; empty where it has no source."""
    try:
        assert thing is not None
        file, (_, line) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
    except (TypeError, OSError, AssertionError):
        return ""
    return f"{_short(file)}:{line}" if file else ""


def source_of(kind: type) -> Path | None:
    """Return the file of a class; None where it has none."""
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):
        return None
    return Path(file) if file else None


def code_of(task: CheckedTask) -> list[Path]:
    """Return the files of a task's code: its own, and those imported from beside it."""
    home = source_of(type(task.inner))
    if home is None:
        return []
    found = {home}
    for name, module in sys.modules.copy().items():
        if name.partition(".")[0] == "autodepth":
            continue
        file = Path(getattr(module, "__file__", None) or "")
        if (
            file.suffix == ".py"
            and file.is_relative_to(home.parent)
            and not is_installed(name, file)
        ):
            found.add(file)
    return sorted(found)


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _metrics_of(task: Task, name: str) -> Mapping[str, Metric]:
    metrics = task.metrics
    where = place_of(type(task)) or name
    if not isinstance(metrics, Mapping) or not metrics:
        raise TaskError(
            f"{where}: metrics must name at least one Metric, such as "
            f"{{'error': Metric(worst=1, best=0)}}, but is {metrics!r:.60}"
        )
    for key, metric in metrics.items():
        if not isinstance(metric, Metric):
            raise TaskError(f"{where}: metrics[{key!r}] must be a Metric, but is {metric!r:.60}")
        if not (isinstance(key, str) and key.isidentifier() and key.isascii() and key != "loss"):
            raise TaskError(
                f"{where}: a metric's name must be letters, digits and _, and not loss, "
                f"but got {key!r:.60}"
            )
    return dict(metrics)


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
