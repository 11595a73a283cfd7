"""Published figures of Yambda, to stand beside those of a user's run."""

from __future__ import annotations

from typing import Any

from antiphon.windows import Window

__all__ = ["published"]

SOURCE = "Ploshkin et al., Yambda-5B, arXiv 2505.22238: Listen+ of Yambda-50M"
TEST_START_S = 25_913_600
TRAIN_END_S = 25_911_800
METRICS = ("ndcg_at_10", "ndcg_at_100", "recall_at_10", "recall_at_100")
LISTEN_PLUS_50M = {
    "ItemKNN": (0.0781, 0.0934, 0.0373, 0.1297),
    "SASRec": (0.0748, 0.0764, 0.0325, 0.1026),
    "iALS": (0.0407, 0.0642, 0.0128, 0.0808),
    "BPR": (0.0389, 0.0641, 0.0139, 0.0836),
    "DecayPop": (0.0260, 0.0323, 0.0122, 0.0479),
    "MostPop": (0.0186, 0.0249, 0.0064, 0.0321),
    "SANSA": (0.0069, 0.0095, 0.0031, 0.0137),
}


def published(
    window: Window, protocol: dict[str, Any], *, synthetic: bool
) -> dict[str, Any] | None:
    """The published table, and in what this evaluation differs from the published one.

    Args:
        window: what was judged.
        protocol: the evaluation's.
        synthetic: whether the log was generated: its windows are Yambda's, its plays are not.

    Returns:
        `{source, figures: {model: {metric: value}}, differs: [sentence]}`; figures may be compared
        where `differs` is empty, as far as can be told from here. None for a synthetic log, and
        for any whose test window isn't that of Yambda.
    """
    schema = window.schema
    if synthetic or window.name != "test" or schema.held_out_start_s != TEST_START_S:
        return None
    differs = []
    if protocol["name"] != "yambda-paper":
        differs.append("the metrics are of another protocol: evaluate.protocol = 'yambda-paper'")
    if protocol["query_by"]:
        differs.append("users are asked once per context, there once: evaluate.query_by = []")
    if protocol["exclude_heard"]:
        differs.append("heard items are left out, there they are not")
    if protocol["max_users"] is not None:
        differs.append("only some users are judged")
    if schema.train_end_s != TRAIN_END_S:
        differs.append(f"training ends at {schema.train_end_s} s, there at {TRAIN_END_S} s")
    if not 9_000 <= schema.user_count <= 9_238:
        differs.append(f"training has {schema.user_count} users, Yambda-50M 9,238")
    figures = {
        model: dict(zip(METRICS, values, strict=True)) for model, values in LISTEN_PLUS_50M.items()
    }
    return {"source": SOURCE, "figures": figures, "differs": differs}
