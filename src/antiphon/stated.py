"""Contexts as requests and live events state them, encoded; values known already aren't read."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from antiphon.encode import encode_request
from antiphon.errors import RequestError
from antiphon.schema import Schema

__all__ = ["StatedContexts"]

Encoded = Mapping[str, Shaped[np.ndarray, "1 ..."]]
REMEMBERED = 4096


class StatedContexts:
    """Encodes what is stated, as `encode.encode_request` does.

    Args:
        schema: of the log.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.unknown: Encoded = encode_request(schema, {})
        self._values: dict[tuple[str, type, object], Shaped[np.ndarray, "1 ..."]] = {}
        self._texts: dict[str, Encoded] = {}

    def encode(self, given: Mapping[str, object]) -> Encoded:
        """A request's context.

        Raises:
            RequestError: an unknown feature or value; tells what is allowed.
        """
        encoded = dict(self.unknown)
        for name, value in given.items():
            key = (name, type(value), value)
            try:
                known = self._values.get(key)
            except TypeError:  # a list, say
                encoded[name] = encode_request(self._schema, {name: value})[name]
                continue
            if known is None:
                known = encode_request(self._schema, {name: value})[name]
                if len(self._values) >= REMEMBERED:
                    self._values.clear()
                self._values[key] = known
            encoded[name] = known
        return encoded

    def encode_text(self, text: str) -> Encoded:
        """A stored event's context; what this log doesn't know is unknown."""
        known = self._texts.get(text)
        if known is None:
            encoded = dict(self.unknown)
            for name, value in json.loads(text).items():
                try:
                    encoded[name] = self.encode({name: value})[name]
                except RequestError:
                    continue
            known = encoded
            if len(self._texts) >= REMEMBERED:
                self._texts.clear()
            self._texts[text] = known
        return known
