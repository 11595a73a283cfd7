"""The page as text: complete, self-contained, the same each time, and safe whatever a log holds."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from antiphon.report import render_report, write_report
from antiphon.report.page import _style
from report_sample import sample

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(evaluation: dict[str, Any] | None = None, **more: Any) -> Outline:
    return Outline(render_report(evaluation or sample(), title="A log", **more))


def test_the_same_evaluation_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_report(sample(), tmp_path / name, title="A log")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    outline = page()
    assert outline.open == []
    tags = {tag for tag, _ in outline.tags}
    assert not tags & {"script", "iframe", "object", "embed", "img", "base", "form"}
    for tag, attributes in outline.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith("#") or target == "data:,", (tag, target)
    assert not re.search(r"@import|url\(|https?:", _style())


def test_every_link_has_a_target_and_every_id_is_one() -> None:
    outline = page()
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] or "" for tag, a in outline.tags if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_tables_have_captions_and_scopes() -> None:
    outline = page()
    tags = [tag for tag, _ in outline.tags]
    assert tags.count("table") == tags.count("caption") > 20
    assert all("scope" in attributes for tag, attributes in outline.tags if tag == "th")


def test_whatever_a_log_holds_stays_text() -> None:
    evaluation = sample()
    evaluation["slices"][HOSTILE] = evaluation["slices"].pop("tab=home")
    evaluation["slices"]["all"]["description"] = HOSTILE
    for table in (*evaluation["models"].values(), *evaluation["context"].values()):
        table[HOSTILE] = table.pop("tab=home")
    evaluation["models"][HOSTILE] = evaluation["models"].pop("bpr")
    evaluation["curves"][HOSTILE] = evaluation["curves"].pop("bpr")
    evaluation["examples"][0]["user"] = HOSTILE
    evaluation["examples"][0]["lists"][0]["items"][0]["title"] = HOSTILE
    evaluation["examples"][0]["lists"][0]["context"] = {HOSTILE: HOSTILE}
    evaluation["baselines"]["item_knn"]["knobs"]["by"] = HOSTILE
    evaluation["baselines"]["item_knn"]["note"] = HOSTILE
    evaluation["gates"][HOSTILE] = {"passed": False, "sentence": HOSTILE, "figures": []}
    evaluation["published"]["source"] = HOSTILE
    evaluation["published"]["differs"] = [HOSTILE]
    evaluation["hashes"][HOSTILE] = HOSTILE
    evaluation["protocol"][HOSTILE] = HOSTILE
    item = str(evaluation["examples"][0]["lists"][1]["items"][0]["item"])
    plain = render_report(sample(), title="A log")
    text = render_report(
        evaluation, title=HOSTILE, labels={"tab=search": HOSTILE}, titles={item: HOSTILE}
    )
    outline = Outline(text)
    assert outline.open == []
    assert {tag for tag, _ in outline.tags} == {tag for tag, _ in Outline(plain).tags}
    assert not any(name.startswith("on") for _, a in outline.tags for name in a)
    assert outline.text.count("<script>alert(1)</script>") > 20
    assert "49" not in re.findall(r"onerror=alert\(1\)>(\d+)", outline.text)


def test_what_it_is_about_is_on_the_page() -> None:
    text = re.sub(r"\s+", " ", page(labels={"tab=search": "searching"}).text)
    for words in (
        "It learned",
        "It beats the best baseline, ItemKNN",
        "Context helps",
        "3 passed, 0 failed",
        "searching",
        "empty: no query is in it",
        "Published figures beside this run’s",
        "SASRec",
        "Two contexts of one user",
        "rank-biased overlap",
        "artist repetition@10",
        "second 2,600",
        "half-life of similarity 10 days",
        "context by tab what the user had left out",
        "23 settings",
        "learns from all days",
        "not tuned: nobody to ask",
        "150 candidates that nobody had played",
        "Most popular artist",
        "BPR models the 8,000 items played most, of 22,962.",
    ):
        assert words in text, words
    figure = sample()["models"]["antiphon"]["all"]["ndcg_at_10"]["value"]
    assert f"{figure:.4f}" in text


def test_parts_that_were_not_measured_are_left_out_or_said_to_be() -> None:
    evaluation = sample()
    for part in (
        "loss",
        "context",
        "context_lift",
        "lists",
        "cold",
        "examples",
        "published",
        "gates",
    ):
        evaluation[part] = None
    del evaluation["baselines"]  # as of an older version
    outline = page(evaluation)
    assert outline.open == []
    assert "Not measured" in outline.text
    assert "Loss against chance" not in outline.text
    assert "Published" not in outline.text
    assert "every candidate had been played" in outline.text
    assert "were tuned to" not in outline.text
    evaluation.update(context={}, context_lift={}, lists={}, examples=[], gates={})
    assert "the config sets none" in page(evaluation).text


def test_a_lone_model_has_a_page() -> None:
    evaluation = sample()
    for part in ("models", "curves"):
        evaluation[part] = {"antiphon": evaluation[part]["antiphon"]}
    evaluation["comparisons"] = {}
    outline = page(evaluation)
    assert outline.open == []
    assert "There is no baseline to beat" in outline.text


def test_baselines_alone_have_a_page() -> None:
    evaluation = sample()
    for part in ("models", "curves"):
        del evaluation[part]["antiphon"]
    evaluation["comparisons"] = {}
    evaluation["context"] = evaluation["context_lift"] = evaluation["examples"] = None
    assert "Only baselines were judged" in page(evaluation).text


def test_figures_without_intervals_have_a_page() -> None:
    outline = page(sample(resamples=0))
    assert outline.open == []
    assert "no interval was computed" in outline.text


def test_the_papers_protocol_has_its_own_formulas() -> None:
    paper = page(sample(protocol="yambda-paper")).text
    assert "repeated plays counted each time" in paper
    assert "number of distinct targets" in page().text


def test_a_log_of_another_kind_has_a_page() -> None:
    """No artists, and a slice for each kind of feature."""
    evaluation = copy.deepcopy(sample())
    first = evaluation["slices"]
    renamed = {"tab=home": "hour=0-6", "tab=search": "age<20.5", "tab=unknown": "audio=unknown"}
    evaluation["slices"] = {renamed.get(name, name): size for name, size in first.items()}
    tables = [*evaluation["models"].values(), *evaluation["comparisons"].values()]
    tables += [*evaluation["context"].values(), *evaluation["context_lift"].values()]
    for table in tables:
        for old, new in renamed.items():
            table[new] = table.pop(old)
        for figures in table.values():
            for metric in [name for name in figures if name.startswith("repetition")]:
                del figures[metric]
    text = page(evaluation).text
    assert all(f"By {name}" in text for name in ("hour", "age", "audio"))
    assert "Artist repetition" not in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str) -> None:
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    style = _style()
    colours = dict(re.findall(r"--(\w+): (#\w{6})", style[: style.index("@media")]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--(\w+): (#\w{6})", style[style.index("@media") :]))
    for name in ("ink", "soft", "ours", "best", "bound", "good", "bad"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["other"], colours["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """Of two colours, by their relative luminance (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
