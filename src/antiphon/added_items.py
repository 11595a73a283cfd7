"""Items that training didn't know -> embeddings, as training embeds what nobody has played.

An item's embedding is made of its own table row and its content. A new one's row is what all rows
are drawn around before training, nothing; what is left is the content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Shaped

from antiphon.encode import encode, missing_vectors, spell
from antiphon.encoders import KNOWN, Encoder, unit
from antiphon.errors import ArtifactError, LogError, RequestError, did_you_mean
from antiphon.indexes import Where
from antiphon.live import AddedItem
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical, FittedFeature, FittedVector

__all__ = ["Embedded", "ItemEmbedder"]


@dataclass(frozen=True)
class Embedded:
    """An item ready to be served.

    Attributes:
        embedding: as in candidates.npy; the trends are those of what was never played.
        codes: by categorical feature, of the values that the log knows.
        values: by categorical feature, those that it doesn't. They tell items apart, but no
            embedding knows them.
    """

    embedding: Float32[np.ndarray, " width"]
    codes: Mapping[str, tuple[int, ...]]
    values: Mapping[str, tuple[str, ...]]


class ItemEmbedder:
    """Embeds items from their content.

    Args:
        model: trained.
        where: knows the values of categorical features.
    """

    def __init__(self, model: TrainedModel, where: Where) -> None:
        self._model = model
        self._where = where
        self._features = model.prepared.schema.item

    def check(self, items: Sequence[AddedItem]) -> None:
        """Refuse items that can't be embedded.

        Raises:
            RequestError: a feature that isn't there, or a value that doesn't fit its kind; names
                the item.
        """
        names = [feature.name for feature in self._features]
        for item in items:
            for name in item.features:
                if name not in names:
                    raise RequestError(
                        f"there is no such item feature: item {item.id}",
                        received=name,
                        allowed=", ".join(names) or "none: the model has no item feature",
                        hint=did_you_mean(name, names),
                    )
            for feature in self._features:
                _encoded(feature, item)

    def embed(self, items: Sequence[AddedItem]) -> list[Embedded]:
        """Embed items; what they don't tell, and what the log doesn't know, is missing.

        Raises:
            RequestError: see `check`.
        """
        if not items:
            return []
        codes, values, content = self._content(items)
        vectors = unit(content, KNOWN)
        trends = np.zeros(
            (len(items), self._model.candidates.shape[1] - vectors.shape[1]), np.float32
        )
        embeddings = np.concatenate([vectors, trends], axis=1)
        return [
            Embedded(
                embeddings[row],
                {name: of_items[row] for name, of_items in codes.items()},
                {name: of_items[row] for name, of_items in values.items()},
            )
            for row in range(len(items))
        ]

    def _content(
        self, items: Sequence[AddedItem]
    ) -> tuple[
        dict[str, list[tuple[int, ...]]],
        dict[str, list[tuple[str, ...]]],
        Float32[np.ndarray, "items width"],
    ]:
        """Codes and values as of `Embedded`, and what `towers.CandidateTower` adds to own rows."""
        codes, values = {}, {}
        content = np.zeros((len(items), self._model.vectors.width), np.float32)
        for feature in self._features:
            name = feature.name
            if isinstance(feature, FittedCategorical):
                codes[name], values[name] = self._codes(feature, items)
                for row, own in enumerate(codes[name]):
                    # no value at all: the unknown one
                    known = np.array(own[: feature.max_values] or (0,))
                    content[row] += self._tables[name][known].mean(axis=0)
            else:
                rows = np.concatenate([_encoded(feature, item) for item in items])
                content += self._encoders[name].encoded(rows)
        return codes, values, content

    def _codes(
        self, feature: FittedCategorical, items: Sequence[AddedItem]
    ) -> tuple[list[tuple[int, ...]], list[tuple[str, ...]]]:
        """Of each item: codes of values that the log knows, ascending, and the other values."""
        of_items = [_values(feature, item) for item in items]
        flat = [value for values in of_items for value in values]
        known = iter(self._where.codes(feature.name, flat).tolist())
        codes, others = [], []
        for values in of_items:
            coded = [(value, next(known)) for value in values]
            codes.append(tuple(sorted({code for _, code in coded if code})))
            others.append(tuple(value for value, code in coded if not code))
        return codes, others

    @cached_property
    def _tables(self) -> dict[str, np.ndarray]:
        folder = self._model.stage.path / "tables"
        return {
            f.name: np.load(folder / f"item.{f.name}.npy", mmap_mode="r", allow_pickle=False)
            for f in self._features
            if isinstance(f, FittedCategorical)
        }

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        path = self._model.stage.path / "dense.npz"
        with np.load(path, allow_pickle=False) as file:
            weights = dict(file)
        try:
            return {
                f.name: Encoder.of(f, weights)
                for f in self._features
                if not isinstance(f, FittedCategorical)
            }
        except KeyError as error:
            raise ArtifactError(f"{path} lacks the weight {error.args[0]}") from None


def _values(feature: FittedCategorical, item: AddedItem) -> list[str]:
    """What an item says of a categorical feature: nothing, a value, or several."""
    given = item.features.get(feature.name)
    if given is None:
        return []
    values = [given] if isinstance(given, int | float | str) else given
    if not isinstance(values, list | tuple) or not all(
        isinstance(v, int | float | str) for v in values
    ):
        raise RequestError(
            f"{feature.name} must be a value or a list of values: item {item.id}",
            received=repr(given)[:80],
        )
    return list(dict.fromkeys(spell(v) for v in values))


def _encoded(feature: FittedFeature, item: AddedItem) -> Shaped[np.ndarray, "1 ..."]:
    """What an item says of a feature, as arrays of one row, in the precision that is stored."""
    given = item.features.get(feature.name)
    if isinstance(feature, FittedCategorical):
        _values(feature, item)
        return np.zeros(1, np.int32)
    if given is None:
        return _missing(feature)
    is_vector = isinstance(feature, FittedVector)
    try:
        column = (
            pa.array([list(given)], pa.list_(pa.float64()))
            if is_vector
            else pa.array([float(given)])
        )
        encoded = encode(feature, column)
    except (LogError, TypeError, ValueError, pa.ArrowInvalid, pa.ArrowTypeError):
        encoded = np.full(1, np.nan)
    narrow = encoded
    if is_vector:
        with np.errstate(over="ignore"):
            narrow = encoded.astype(np.float16)
    if not np.isfinite(narrow).all():
        size = getattr(feature, "size", 0)
        raise RequestError(
            f"{feature.name} can't be used: item {item.id}",
            received=repr(given)[:80],
            allowed=f"{size} finite numbers of float16's range" if size else "a finite number",
        )
    return narrow


def _missing(feature: FittedFeature) -> Shaped[np.ndarray, "1 ..."]:
    if isinstance(feature, FittedVector):
        return missing_vectors(feature.size, 1).astype(np.float16)
    return np.full(1, np.nan, np.float32)
