"""Antiphon: context-aware two-tower retrieval, from an interaction log to answers."""
