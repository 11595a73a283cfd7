"""What any model must beat: baselines, each tuned on the validation window.

`tune_baselines` gives them by name. Each is a `Ranker` that tells its `knobs`, its score on the
validation window and what a reader of its figures must know.
"""

from antiphon.baselines.fitted import FittedBaseline
from antiphon.baselines.recipes import RECIPES
from antiphon.baselines.tune import Progress, tune_baselines

__all__ = ["NAMES", "FittedBaseline", "Progress", "tune_baselines"]

NAMES = tuple(RECIPES)
"""In the order of tables."""
