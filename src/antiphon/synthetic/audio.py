"""What tracks sound like: vectors that carry the artist's latent vector, and noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, UInt32

from antiphon.synthetic.laws import Laws
from antiphon.synthetic.world import World

__all__ = ["AUDIO_SIZE", "audio_blocks"]

AUDIO_SIZE = 128
_BLOCK = 20_000


def audio_blocks(
    laws: Laws, world: World, seed: int
) -> Iterator[tuple[UInt32[np.ndarray, " n"], Float32[np.ndarray, "n audio"]]]:
    """Item ids, ascending, and their vectors, a block at a time; a few items have none.

    A vector is a random linear map of the artist's latent vector plus the track's own part, plus
    noise; its length is about 24, as in Yambda's first row.
    """
    rng = np.random.default_rng([seed, 3])
    to_audio = rng.normal(size=(laws.latent, AUDIO_SIZE)) * 1.6 / np.sqrt(laws.latent)
    centre = 0.6 * rng.normal(size=AUDIO_SIZE)
    tracks = np.argsort(world.item_id)
    tracks = tracks[rng.random(len(tracks)) >= laws.without_audio]
    for begin in range(0, len(tracks), _BLOCK):
        block = tracks[begin : begin + _BLOCK]
        latent = world.artist_latent[world.track_artist[block]]
        latent = latent + 0.5 * rng.standard_normal(latent.shape, np.float32)
        noise = rng.standard_normal((len(block), AUDIO_SIZE), np.float32)
        vector = latent @ to_audio.astype(np.float32) + 1.1 * noise + centre
        yield world.item_id[block], vector.astype(np.float32)
