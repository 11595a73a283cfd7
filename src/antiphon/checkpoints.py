"""Checkpoints: how far a training had come, so that one that was killed goes on from there.

    runs/NAME/checkpoints/
      step-0000012000/     one folder each, whole or absent like a stage; the last two stay
        tables/, dense.npz, optimizer.npz     the model's state (model_files.py)
        training.json                         the step, losses so far, time spent

A batch is a function of the seed and the step, so nothing random has to be kept. The tables are
written straight from where they are: training waits for that, since a copy of them may not fit in
memory. Hashing and syncing then go on beside the next steps, and at last the folder gets its name.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from antiphon.artifacts import Stage, fingerprint, open_stage, sweep, write_json, write_stage
from antiphon.errors import ArtifactError
from antiphon.model import TwoTower
from antiphon.model_files import load_state, save_state
from antiphon.watch import Training

__all__ = ["Checkpoints", "checkpoints_folder"]

KEPT = 2


def checkpoints_folder(model: Path) -> Path:
    """Where checkpoints are of the training that makes the folder `model`."""
    return model.parent / "checkpoints"


class Checkpoints:
    """Those of one training, told from others by what they were made from.

    Args:
        folder: where they are.
        made_from: whatever determines the training's result, besides `inputs`.
        inputs: the stages that it is computed from, by name.
        every_s: seconds of training between two of them; 0 for none but those asked for.
        writes: whether this process does; of several one does, at which moment all of them help.
    """

    def __init__(
        self,
        folder: Path,
        made_from: object,
        inputs: Mapping[str, Stage],
        every_s: float,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self.writes = writes
        self.every_s = every_s
        self._made_from = made_from
        self._inputs = inputs
        self._good: list[Path] = []
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._closing: Future[None] | None = None
        self._since = time.perf_counter()

    @property
    def latest(self) -> Path | None:
        """The newest that is complete, as far as is known."""
        return self._good[-1] if self._good else None

    def resume(self, model: TwoTower, training: Training) -> Training:
        """Bring a new model to where the newest good checkpoint was.

        Returns:
            How far it has come then: `training` itself where there is none to go on from. Its
            notes tell of checkpoints that are damaged, or of another training, and left out.
        """
        if self.writes:
            sweep(self.folder / "step-*")
        paths = sorted(self.folder.glob("step-*"))
        notes = []
        while paths:
            try:
                reached = self._load(model, paths[-1])
            except ArtifactError as error:
                notes.append(f"the checkpoint {paths.pop().name} is left out: {error.what}")
                continue
            self._good = [path for path in paths if self._is_ours(path)]
            notes.append(f"went on from step {reached.done} of {reached.steps}")
            return replace(reached, notes=reached.notes + notes)
        return replace(training, notes=training.notes + notes)

    def due(self) -> bool:
        """Whether it is time for the next one, or the last one has failed."""
        if not self.writes:
            return False
        if self._closing and self._closing.done() and self._closing.exception():
            return True
        return 0 < self.every_s <= time.perf_counter() - self._since

    def write(self, model: TwoTower, training: Training) -> None:
        """Write one; returns as soon as the model may change.

        Raises:
            ArtifactError: the disk is full or can't be written, or was when the checkpoint before
                was finished. Those that are complete stay.
        """
        if not self.writes:
            save_state(model, None)
            return
        began = time.perf_counter()
        self.wait()
        path = self.folder / f"step-{training.done:010d}"
        with self._told_what_is_left(), contextlib.ExitStack() as stack:
            folder = stack.enter_context(
                write_stage(path, made_from=self._made_from, inputs=self._inputs)
            )
            save_state(model, folder)
            write_json(folder / "training.json", asdict(training))
            self._closing = self._thread.submit(self._close, stack.pop_all(), path)
        self._since = time.perf_counter()
        training.checkpoint_seconds += self._since - began

    def wait(self) -> None:
        """Wait until the last one written is complete.

        Raises:
            ArtifactError: it couldn't be completed.
        """
        closing, self._closing = self._closing, None
        if closing:
            with self._told_what_is_left():
                closing.result()

    def remove(self) -> None:
        """Remove all, those of other trainings of this run too: the stage is done."""
        self.wait()
        self._thread.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close(self, stage: contextlib.ExitStack, path: Path) -> None:
        stage.close()
        self._good.append(path)
        for old in self._good[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self._good = self._good[-KEPT:]

    def _load(self, model: TwoTower, path: Path) -> Training:
        stage = open_stage(path, inputs=self._inputs)
        if stage.manifest["made_from"] != fingerprint(self._made_from):
            raise ArtifactError(f"{path} is of a training with other settings")
        load_state(model, path)
        kept = json.loads((path / "training.json").read_text(encoding="utf-8"))
        return Training(**kept | {"recent": [tuple(pair) for pair in kept["recent"]]})

    def _is_ours(self, path: Path) -> bool:
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        expected = {name: stage.hash for name, stage in self._inputs.items()}
        return (manifest.get("made_from"), manifest.get("inputs")) == (
            fingerprint(self._made_from),
            expected,
        )

    @contextlib.contextmanager
    def _told_what_is_left(self) -> Iterator[None]:
        try:
            yield
        except ArtifactError as error:
            hint = "free some space and run again"
            if self.latest:
                hint += f": the checkpoint {self.latest.name} is good, training goes on from it"
            raise ArtifactError(error.what, received=error.received, hint=hint) from error
