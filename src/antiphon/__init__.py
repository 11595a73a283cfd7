"""Antiphon: context-aware two-tower retrieval, from an interaction log to answers."""

import os

# Keras reads this once, when it is first imported; the training step is written for JAX.
os.environ["KERAS_BACKEND"] = "jax"
