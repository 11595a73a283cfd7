"""The same on 200 million events, with a tenth of an epoch; see full_scale.py.

    python benchmarks/full_scale_200m.py [--quick] [arguments of full_scale.py]

Four times the users, too, 10,000 of whom are judged.
"""

from __future__ import annotations

from full_scale import main

SIZE = ("--events", "200000000", "--users", "40000", "--epochs", "0.1", "--judge", "10000")

if __name__ == "__main__":
    main("full_scale_200m", SIZE)
