"""PyTorch's own way to large tables: `nn.Embedding(sparse=True)` and an Adagrad that takes it.

The towers, the batch and the loss are those of Antiphon's plain model (user, context and item; no
history, trends or repeats): 256 users with 4 targets each, 1,024 sampled negatives, logQ, the
query's own targets and accidental hits masked. Tables by torch.optim.Adagrad, everything else by
Adam, as they come: not compiled, not fused. Batches are made while the clock runs, by numpy.

    python benchmarks/_torch_sparse.py FOLDER WARM_UP STEPS

prints JSON. FOLDER is a log of `_made_up_log`. Nothing of JAX is in the process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from _stopwatch import measured, now

WIDTH, CONTEXT_WIDTH, CODES = 64, 16, 3
QUERIES, TARGETS, NEGATIVES = 256, 4, 1024
EXAMPLES = QUERIES * TARGETS
USER_DROPOUT, CONTEXT_DROPOUT = 0.5, 0.1
TEMPERATURE, KNOWN, ACCUMULATOR = 0.1, 0.1, 0.1

Batch = dict[str, Tensor]


class Towers(nn.Module):
    """Antiphon's towers without history, trends and repeats, but for what is popular since ever."""

    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        asked = 1 + CONTEXT_WIDTH
        self.user = nn.Embedding(users, WIDTH, sparse=True)
        self.item = nn.Embedding(items, WIDTH, sparse=True)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.05 * WIDTH**-0.5)
        self.context = nn.Embedding(CODES, CONTEXT_WIDTH)
        self.mix = nn.Linear(asked, 1)
        self.hidden = nn.Linear(WIDTH + asked, 2 * WIDTH)
        self.modulate = nn.Linear(asked, 2 * WIDTH)
        self.out = nn.Linear(2 * WIDTH, WIDTH)
        self.trend = nn.Linear(asked, 1)
        self.log_scale = nn.Parameter(-torch.tensor(TEMPERATURE).log())

    def query(self, user: Tensor, context: Tensor) -> Tensor:
        """[queries, targets, width + 1] of users [queries] and contexts [queries, targets]."""
        encoded = self.context(context)
        asked = torch.cat([torch.ones_like(encoded[..., :1]), encoded], dim=-1)
        known = self.user(user)[:, None].expand(-1, context.shape[1], -1)
        hidden = nn.functional.gelu(
            self.hidden(torch.cat([known, asked], dim=-1)), approximate="tanh"
        )
        hidden = hidden * (1 + self.modulate(asked))
        vector = _unit(known * self.mix(asked) + self.out(hidden), 1e-12)
        return torch.cat([vector * self.log_scale.exp(), self.trend(asked)], dim=-1)

    def candidate(self, item: Tensor, trend: Tensor) -> Tensor:
        """[items, width + 1]."""
        return torch.cat([_unit(self.item(item), KNOWN), trend[:, None]], dim=-1)


def loss_of(towers: Towers, batch: Batch) -> Tensor:
    """The sum of all losses, as antiphon.loss has it."""
    query = towers.query(batch["user"], batch["context"]).flatten(0, 1)
    candidate = towers.candidate(batch["item"], batch["trend"])
    logits = query @ candidate.T - batch["log_count"]
    positive = (query * candidate[:EXAMPLES]).sum(dim=1)
    group = torch.arange(EXAMPLES) // TARGETS
    out = batch["item"] == batch["item"][:EXAMPLES, None]
    out[:, :EXAMPLES] |= group == group[:, None]
    logits = logits.masked_fill(out, -torch.inf)
    total = torch.logsumexp(torch.cat([logits, positive[:, None]], dim=1), dim=1)
    return (total - positive).sum()


def batches(folder: Path) -> Callable[[], Batch]:
    """Makes one batch after another."""
    starts = np.load(folder / "events/user_offsets.npy")
    items = np.load(folder / "events/item_number.npy", mmap_mode="r")
    codes = np.load(folder / "events/context/is_organic.npy", mmap_mode="r")
    counts = np.load(folder / "counts.npy")
    trend = np.log1p(counts).astype(np.float32)
    weights = (counts + 0.5) ** 0.75
    weights[0] = 0
    steps = np.cumsum(weights)
    rng = np.random.default_rng(0)

    def batch() -> Batch:
        user = np.searchsorted(starts, rng.integers(0, len(items), QUERIES), side="right") - 1
        first, span = starts[user][:, None], (starts[user + 1] - starts[user])[:, None]
        rows = first + (rng.random((QUERIES, TARGETS)) * span).astype(np.int64)
        context = np.where(rng.random(rows.shape) < CONTEXT_DROPOUT, 0, codes[rows])
        negative = np.searchsorted(steps, rng.random(NEGATIVES) * steps[-1], side="right")
        item = np.concatenate([items[rows.ravel()], negative])
        share = (QUERIES - 1) * TARGETS * counts[item] / len(items)
        expected = share + NEGATIVES * weights[item] / steps[-1]
        arrays = {
            "user": np.where(rng.random(QUERIES) < USER_DROPOUT, 0, user),
            "context": context.astype(np.int64),
            "item": item.astype(np.int64),
            "trend": trend[item],
            "log_count": np.log(expected).astype(np.float32),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return batch


def measure(folder: Path, warm_up: int, steps: int) -> dict[str, Any]:
    """Train; the first steps aren't timed."""
    # said once per process otherwise, by its own Adagrad
    torch.sparse.check_sparse_tensor_invariants.disable()
    size = json.loads((folder / "size.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    towers = Towers(size["users"] + 1, size["items"] + 1)
    tables = [towers.user.weight, towers.item.weight]
    dense = [p for p in towers.parameters() if all(p is not table for table in tables)]
    optimizers = (
        torch.optim.Adagrad(tables, lr=0.1, initial_accumulator_value=ACCUMULATOR),
        torch.optim.Adam(dense, lr=0.001),
    )
    make = batches(folder)
    losses = []
    reached = []
    for number in range(warm_up + steps):
        if number >= warm_up:
            reached.append((number, now()))
        loss = loss_of(towers, make())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(float(loss.detach()) / EXAMPLES)
    reached.append((warm_up + steps, now()))
    return measured(EXAMPLES, reached) | {
        "loss": float(np.mean(losses[-10:])),
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _unit(vector: Tensor, known: float) -> Tensor:
    return vector * torch.rsqrt((vector * vector).sum(dim=-1, keepdim=True) + known)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
