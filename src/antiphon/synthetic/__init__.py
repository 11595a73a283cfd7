"""A Yambda-shaped synthetic log with planted, known tastes, and the oracle that knows them.

Reading order: `laws` (the numbers) → `world` (tracks) and `people` (users) → `listening` and
`feedback` (events) → `audio` and `tables` (files) → `generate` (all of it) → `oracle`.

What is left simple: whether a listen is a Listen+ depends on the context alone, not on the track;
tastes don't change with time; gaps between listens follow a typical track length, not that of
the very track.
"""

from antiphon.synthetic.generate import synthesize
from antiphon.synthetic.oracle import Oracle
from antiphon.synthetic.summary import SynthSummary

__all__ = ["Oracle", "SynthSummary", "synthesize"]
