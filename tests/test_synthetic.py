import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ArtifactError, ConfigError, LogError, RequestError
from antiphon.synthetic import Oracle, SynthSummary, generate, synthesize
from antiphon.synthetic.laws import END_S, LAST_DAY_S, Laws
from antiphon.synthetic.listening import Listener
from antiphon.synthetic.people import People
from antiphon.synthetic.tables import EventWriter
from antiphon.synthetic.truth import Truth
from antiphon.synthetic.world import MAX_TRACKS, World, allot

CUTOFF_S = LAST_DAY_S - 1_800
SMALL: dict[str, Any] = {"users": 600, "events": 240_000, "tracks": 9_000, "seed": 7}
TINY: dict[str, Any] = {"users": 30, "events": 3_000, "seed": 3}
KEYS = [
    ("uid", pa.uint32()),
    ("timestamp", pa.uint32()),
    ("item_id", pa.uint32()),
    ("is_organic", pa.uint8()),
]
LISTEN = [("played_ratio_pct", pa.uint16()), ("track_length_seconds", pa.uint32())]
SINGLE = ("listens", "likes", "dislikes", "unlikes", "undislikes")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> SynthSummary:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "log", **SMALL)


@pytest.fixture(scope="module")
def log(summary: SynthSummary) -> Path:
    return summary.path


@pytest.fixture(scope="module")
def events(log: Path) -> pa.Table:
    return pq.read_table(log / "flat/50m/multi_event.parquet")


@pytest.fixture(scope="module")
def oracle(log: Path) -> Oracle:
    return Oracle.load(log)


@pytest.fixture(scope="module")
def truth(log: Path) -> Truth:
    return Truth.load(log / "truth")


@pytest.fixture(scope="module")
def uids(truth: Truth) -> tuple[int, ...]:
    return tuple(truth.people.uid.tolist())


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy().astype(np.int64)


# The files


@pytest.mark.parametrize(
    ("events", "tracks"),
    [
        # 1.5 million * .01 ** .9, * 1, * 4 ** .5; and all there are
        (500_000, 23_773),
        (50_000_000, 1_500_000),
        (200_000_000, 3_000_000),
        (4_790_000_000, MAX_TRACKS),
    ],
)
def test_tracks_grow_as_yambdas_do(events: int, tracks: int) -> None:
    assert generate._default_tracks(events) == tracks


def test_columns_and_types_are_those_of_yambda(log: Path) -> None:
    flat = log / "flat/50m"
    kind = ("event_type", pa.dictionary(pa.int8(), pa.string()))
    assert pq.read_schema(flat / "multi_event.parquet") == pa.schema([*KEYS, *LISTEN, kind])
    assert pq.read_schema(flat / "listens.parquet") == pa.schema([*KEYS, *LISTEN])
    for name in SINGLE[1:]:
        assert pq.read_schema(flat / f"{name}.parquet") == pa.schema(KEYS)
    vector = pa.list_(pa.field("element", pa.float64()))
    assert pq.read_schema(log / "embeddings.parquet") == pa.schema(
        [("item_id", pa.uint32()), ("embed", vector), ("normalized_embed", vector)]
    )
    for owner in ("artist", "album"):
        assert pq.read_schema(log / f"{owner}_item_mapping.parquet") == pa.schema(
            [(f"{owner}_id", pa.uint32()), ("item_id", pa.uint32())]
        )


def test_rows_are_sorted_by_user_and_time_in_ticks_of_five_seconds(events: pa.Table) -> None:
    uid, time_s = column(events, "uid"), column(events, "timestamp")
    later = (np.diff(uid) > 0) | ((np.diff(uid) == 0) & (np.diff(time_s) >= 0))
    assert later.all()
    assert (time_s % 5 == 0).all()
    assert 0 <= time_s.min() < 86_400
    assert END_S - 86_400 < time_s.max() < END_S
    ties = (np.diff(uid) == 0) & (np.diff(time_s) == 0)
    assert ties.mean() > 0.01


def test_only_listens_have_a_ratio_and_a_length(events: pa.Table) -> None:
    listen = pc.equal(events["event_type"], "listen")
    for name in ("played_ratio_pct", "track_length_seconds"):
        assert pc.all(pc.equal(pc.is_valid(events[name]), listen)).as_py()
    ratio = events["played_ratio_pct"].drop_null().to_numpy()
    assert ratio.max() <= 159
    assert 0.35 < (ratio == 100).mean() < 0.6


@pytest.mark.parametrize("name", SINGLE)
def test_single_files_are_the_rows_of_their_kind(log: Path, events: pa.Table, name: str) -> None:
    single = pq.read_table(log / f"flat/50m/{name}.parquet")
    rows = events.filter(pc.equal(events["event_type"], name.removesuffix("s")))
    assert single.num_rows > 0
    assert single.equals(rows.select(single.column_names))


def test_mappings_and_audio_cover_the_catalogue(log: Path, truth: Truth) -> None:
    world, ids = truth.world, np.sort(truth.world.item_id)
    artist, album = (
        pq.read_table(log / f"{owner}_item_mapping.parquet") for owner in ("artist", "album")
    )
    assert (np.unique(column(artist, "item_id")) == ids).all()
    assert artist.num_rows > len(ids)  # some have two
    assert (np.sort(column(album, "item_id")) == ids).all()
    audio = pq.read_table(log / "embeddings.parquet")
    items = column(audio, "item_id")
    assert np.isin(items, ids).all()
    assert (np.diff(items) > 0).all()
    assert 0.95 < len(items) / len(ids) < 0.99
    embed, unit = (np.stack(audio[name].to_numpy()) for name in ("embed", "normalized_embed"))
    assert embed.shape == (len(items), 128)
    assert (embed == embed.astype(np.float32)).all()  # as in Yambda: float32 values in doubles
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        unit * np.linalg.norm(embed, axis=1, keepdims=True), embed, atol=1e-4
    )
    # Yambda's first row has a length of 23.7
    assert 15 < np.linalg.norm(embed, axis=1).mean() < 35
    # the artist can be heard: a linear read-out finds most of the latent vector in unseen tracks
    number = np.argsort(world.item_id)[np.searchsorted(ids, items)]
    latent = world.artist_latent[world.track_artist[number]]
    half = len(items) // 2
    fit, *_ = np.linalg.lstsq(embed[:half], latent[:half], rcond=None)
    left = ((latent[half:] - embed[half:] @ fit) ** 2).sum() / (latent[half:] ** 2).sum()
    assert left < 0.3


def test_likes_follow_a_played_track_and_withdrawals_a_like(events: pa.Table) -> None:
    key = column(events, "uid") << 32 | column(events, "item_id")
    kind = np.asarray(events["event_type"].to_pylist())
    ratio = events["played_ratio_pct"].fill_null(0).to_numpy()
    for after, before in (
        (kind == "like", (kind == "listen") & (ratio >= 50)),
        (kind == "unlike", kind == "like"),
        (kind == "dislike", (kind == "listen") & (ratio < 50)),
        (kind == "undislike", kind == "dislike"),
    ):
        first = dict(reversed([(k, i) for i, k in enumerate(key) if before[i]]))
        assert all(first[key[i]] < i for i in np.flatnonzero(after))
    likes = key[kind == "like"]
    assert len(np.unique(likes)) == len(likes)


def test_user_1001_listens_in_both_contexts(events: pa.Table) -> None:
    rows = events.filter(pc.equal(events["uid"], 1001))
    organic = column(rows, "is_organic")
    assert min((organic == 0).sum(), (organic == 1).sum()) > 100
    assert column(rows, "timestamp").max() - column(rows, "timestamp").min() > 200 * 86_400


def test_statistics_are_those_of_yambda(summary: SynthSummary, events: pa.Table) -> None:
    assert abs(summary.rows / SMALL["events"] - 1) < 0.02
    assert summary.rows == events.num_rows
    assert summary.users == SMALL["users"] == len(np.unique(column(events, "uid")))
    listens = events.filter(pc.equal(events["event_type"], "listen"))
    organic, plus = column(listens, "is_organic"), column(listens, "played_ratio_pct") >= 50
    # arXiv 2505.22238: 48.3% algorithmic; Listen+ 68.1% of algorithmic, 58.7% of organic listens
    assert abs((organic == 0).mean() - 0.483) < 0.01
    assert abs(plus[organic == 0].mean() - 0.681) < 0.01
    assert abs(plus[organic == 1].mean() - 0.587) < 0.01
    assert summary.algorithmic_share == pytest.approx((organic == 0).mean())
    assert summary.listen_plus_organic == pytest.approx(plus[organic == 1].mean())
    assert 0.01 < summary.likes / summary.rows < 0.03
    assert summary.dislikes < summary.likes / 4

    item, uid = column(listens, "item_id"), column(listens, "uid")
    pairs = np.unique(uid << 32 | item)
    assert summary.heard_before == pytest.approx(1 - len(pairs) / listens.num_rows)
    assert 0.4 < summary.heard_before < 0.75
    listeners = np.unique(pairs & 0xFFFFFFFF, return_counts=True)[1]
    assert summary.median_listeners == np.median(listeners) <= 6
    assert summary.tracks_played == len(listeners) < SMALL["tracks"]
    plays = np.sort(np.unique(item, return_counts=True)[1])
    assert plays[-len(plays) // 100 :].sum() > 0.15 * plays.sum()  # a heavy head
    by_user = np.unique(uid, return_counts=True)[1]
    assert by_user.mean() > 1.3 * np.median(by_user)
    late = np.unique(uid[column(listens, "timestamp") >= LAST_DAY_S])
    assert summary.last_day_users == pytest.approx(len(late) / SMALL["users"])
    assert 0.3 < summary.last_day_users < 0.8


# The same by seed, whole or not at all, and refused


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_seed_gives_the_same_files_whatever_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.synthetic.generate._BLOCK_LISTENS", 500)
    synthesize(tmp_path / "one", **TINY)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    synthesize(tmp_path / "same", **TINY)
    assert digests(tmp_path / "one") == digests(tmp_path / "same")
    synthesize(tmp_path / "other", **{**TINY, "seed": 4})
    one, other = digests(tmp_path / "one"), digests(tmp_path / "other")
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] == other[name]} == {"truth/laws.json"}


def test_progress_ends_with_everything_done(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    synthesize(tmp_path / "log", **TINY, progress=lambda done, whole: seen.append((done, whole)))
    assert seen == sorted(seen)
    assert len({whole for _, whole in seen}) == 1
    assert seen[-1][0] == seen[-1][1]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(EventWriter, "write", full)
        with pytest.raises(LogError, match="No space left") as raised:
            synthesize(tmp_path / "log", **TINY)
        assert "room" in str(raised.value)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "log", **TINY, progress=interrupted)
    assert list(tmp_path.iterdir()) == []


def interrupted(done: int, whole: int) -> None:
    raise KeyboardInterrupt


def test_a_killed_run_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from antiphon.synthetic import synthesize\n"
        "def slowly(done, whole): Path(sys.argv[2]).touch(); time.sleep(60)\n"
        "synthesize(Path(sys.argv[1]), users=30, events=3000, progress=slowly)\n"
    )
    out, mark = tmp_path / "log", tmp_path / "writing"
    child = subprocess.Popen([sys.executable, "-c", program, str(out), str(mark)])
    try:
        deadline = time.monotonic() + 60
        while not mark.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert mark.exists()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 2  # the mark and the unfinished folder
    mark.unlink()
    synthesize(out, **TINY)  # takes the unfinished one away
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_is_used_and_any_other_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    synthesize(tmp_path / "empty", **TINY)
    before = digests(tmp_path)
    with pytest.raises(ConfigError, match="must be new or empty"):
        synthesize(tmp_path / "empty", **TINY)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="must be new or empty"):
        synthesize(tmp_path / "file", **TINY)
    assert digests(tmp_path).items() >= before.items()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 0),
        ("users", -1),
        ("users", 1_000_001),
        ("events", 299),
        ("events", 10**12),
        ("tracks", 99),
        ("tracks", 9_390_624),
        ("seed", -1),
    ],
)
def test_numbers_out_of_bounds_are_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"`{name}`") as raised:
        synthesize(tmp_path / "log", **{"users": 30, "events": 3_000, name: value})
    assert f"{value:,}" in str(raised.value)
    assert "allowed" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("users", "events"), [(1, 10), (1, 2_000), (50, 500)])
def test_the_smallest_logs_are_whole(tmp_path: Path, users: int, events: int) -> None:
    done = synthesize(tmp_path / "log", users=users, events=events, tracks=100)
    assert done.users == users
    assert 1001 in column(pq.read_table(tmp_path / "log/flat/50m/listens.parquet"), "uid")
    items, mass = Oracle.load(tmp_path / "log").probabilities(1001, 1, cutoff_s=END_S)
    assert len(items) == 100
    assert mass.sum() == pytest.approx(1)


# The process


@given(
    weight=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30),
    more=st.integers(0, 1_000),
    least=st.integers(0, 3),
)
def test_allotments_add_up(weight: list[float], more: int, least: int) -> None:
    total = least * len(weight) + more
    share = allot(np.asarray(weight), total, least)
    assert share.sum() == total
    assert share.min() >= least
    exact = least + more * np.asarray(weight) / np.sum(weight)
    assert np.abs(share - exact).max() < 1 + 1e-6


def test_the_law_of_the_lag_by_hand() -> None:
    laws = Laws(
        lag_short_weight=(0.4, 0.0),
        lag_short_mean=(2.0, 2.0),
        lag_offset=(1.0, 0.0),
        lag_max=3,
    )
    # short: 1, 1/2, 1/4 of 7/4 = 4/7, 2/7, 1/7; long: 1/2, 1/3, 1/4 of 13/12 = 6/13, 4/13, 3/13
    # 0.4 · 4/7 + 0.6 · 6/13 = .228571 + .276923 = .505495
    # 0.4 · 2/7 + 0.6 · 4/13 = .114286 + .184615 = .298901, and .195604 are left
    np.testing.assert_allclose(laws.lag_cdf(0), [0, 0.505495, 0.804396, 1], atol=1e-6)
    # long only: 1, 1/2, 1/3 of 11/6 = 6/11, 3/11, 2/11
    np.testing.assert_allclose(laws.lag_cdf(1), [0, 6 / 11, 9 / 11, 1])


def test_repeats_stay_with_the_last_track_played_when_the_lag_is_one() -> None:
    laws = Laws(repeat_same=(1.0, 1.0), repeat_other=(0.0, 0.0), lag_max=1, taste_strength=0.1)
    world = World.build(laws, 500, seed=1)
    people = People.build(laws, world, users=20, listens=2_000, seed=1)
    listens = Listener(laws, world, people).listen(np.random.default_rng(0), 0, 20)
    plus = listens.played_ratio_pct >= 50
    for user in range(20):
        for context in range(2):
            mine = np.flatnonzero((listens.user == user) & (listens.context == context))
            if not plus[mine].any():
                continue
            start = int(np.flatnonzero(plus[mine])[0])
            # nothing to repeat before the first that was played, and nothing else after it
            assert not listens.repeats[mine[: start + 1]].any()
            assert listens.repeats[mine[start + 1 :]].all()
            assert len(set(listens.track[mine[start:]])) == 1


def test_what_is_played_is_out(log: Path, events: pa.Table, truth: Truth) -> None:
    order = np.argsort(truth.world.item_id)
    track = order[np.searchsorted(truth.world.item_id, column(events, "item_id"), sorter=order)]
    assert (truth.world.release_s[track] <= column(events, "timestamp")).all()
    assert (truth.world.release_s[track] > END_S - 30 * 86_400).any()
    assert (truth.world.release_s >= END_S).sum() == 0


def test_taste_depends_on_the_context(log: Path, events: pa.Table) -> None:
    """A user's artists agree less across contexts than between weeks of one context."""
    mapping = pq.read_table(log / "artist_item_mapping.parquet")
    artist_of = dict(
        zip(*(mapping[name].to_pylist() for name in ("item_id", "artist_id")), strict=True)
    )
    listens = events.filter(pc.equal(events["event_type"], "listen"))
    artist = np.asarray([artist_of[item] for item in listens["item_id"].to_pylist()])
    uid, organic = column(listens, "uid"), column(listens, "is_organic")
    odd = column(listens, "timestamp") // (7 * 86_400) % 2

    def profile(user: int, context: int, week: int) -> np.ndarray:
        mine = artist[(uid == user) & (organic == context) & (odd == week)]
        counts = np.log1p(np.bincount(mine, minlength=artist.max() + 1))
        return counts / max(float(np.linalg.norm(counts)), 1e-9)

    users, counts = np.unique(uid, return_counts=True)
    nearer = []
    for user in users[np.argsort(-counts)[:100]]:
        a0, a1, o0, o1 = (profile(user, c, w) for c in (0, 1) for w in (0, 1))
        nearer.append(a0 @ a1 + o0 @ o1 > a0 @ o1 + o0 @ a1)
    assert np.mean(nearer) > 0.95


# The oracle


@pytest.fixture
def by_hand(tmp_path: Path) -> Oracle:
    """Two artists, four tracks, one user; every probability below can be computed by hand."""
    laws = Laws(
        repeat_same=(0.5, 0.4),
        repeat_other=(0.2, 0.1),
        lag_short_weight=(0.0, 0.0),
        lag_offset=(0.0, 0.0),
        lag_max=3,  # lags 6/11, 3/11, 2/11
        trending=(0.25, 0.5),
        fresh=(0.2, 0.4),
        fresh_for_s=1_000,
    )
    latent = np.zeros((2, laws.latent), np.float32)
    latent[:, 0] = [0, 1]
    taste = np.zeros((1, 2, laws.latent), np.float32)
    taste[0, :, 0] = [np.log(3), 0]
    world = World(
        genre_latent=np.zeros((laws.genres, laws.latent), np.float32),
        artist_latent=latent,
        artist_log_popularity=np.zeros(2, np.float32),
        artist_start=np.array([0, 2, 4]),
        item_id=np.array([40, 30, 20, 10], np.uint32),
        track_artist=np.array([0, 0, 1, 1]),
        track_album=np.array([0, 1, 2, 3]),
        album_start=np.array([0, 1, 2, 3]),
        release_s=np.array([-5_000, -4_000, 0, 9_500]),
        weight_before=np.array([0.0, 1.0, 4.0, 6.0, 8.0]),  # weights 1, 3 and 2, 2
        track_length_s=np.full(4, 200, np.uint32),
        hit_track=np.array([[0, 2, 3], [1, 2, 3]]),
        hit_begin_s=np.array([[-9.0, 100.0, 99_000.0]] * 2),
        hit_log_heat=np.log([[1.0, 2.0, 9.0], [3.0, 1.0, 9.0]]),
    )
    people = People(
        uid=np.array([1001], np.uint32),
        taste=taste,
        listens=np.array([5]),
        organic_share=np.array([0.5]),
        begin_s=np.array([0.0]),
        end_s=np.array([float(END_S)]),
        peak_hour=np.array([18.0]),
        session_listens=np.array([3.0]),
    )
    Truth(laws, world, people).save(tmp_path / "truth")
    flat = tmp_path / "flat/50m"
    flat.mkdir(parents=True)
    rows = {
        "uid": [1001] * 6,
        "timestamp": [10, 10, 20, 30, 5_000, 10_000],
        "item_id": [40, 30, 30, 20, 40, 10],
        "is_organic": [0, 0, 1, 0, 0, 0],
        "played_ratio_pct": [100, 50, 80, 49, 100, 100],
        "track_length_seconds": [200] * 6,
    }
    schema = pa.schema([*KEYS, *LISTEN])
    pq.write_table(pa.table(rows, schema=schema), flat / "listens.parquet")
    return Oracle.load(tmp_path)


def test_the_oracle_by_hand(by_hand: Oracle) -> None:
    # Algorithmic at 10,000 s. Streams, newest first: own 40, 30, 40 (20 was skipped, 10 comes
    # later); other 30. Repeats: 40: .5 · (6/11 + 2/11) = 4/11; 30: .5 · 3/11 + .2 · 6/11 = 27/110.
    # A discovery: 1 − 67/110 = 43/110. Of it a quarter trends: hits 40 and 20 begun, with heat 1
    # and 2 · exp(ln 3 · 1) = 6: 1/7 and 6/7. Artists have odds 1 and 3: 1/4 and 3/4. The first has
    # nothing new: 40 and 30 by 1/4 and 3/4. The second's 10 is new: .2 on it, .8 by halves.
    d = 43 / 110
    expected = {
        40: 4 / 11 + d * (0.25 / 7 + 0.75 * 0.25 * 0.25),
        30: 27 / 110 + d * 0.75 * 0.25 * 0.75,
        20: d * (0.25 * 6 / 7 + 0.75 * 0.75 * 0.8 * 0.5),
        10: d * 0.75 * 0.75 * (0.2 + 0.8 * 0.5),
    }
    assert sum(expected.values()) == pytest.approx(1)
    items, mass = by_hand.probabilities(1001, 0, cutoff_s=10_000)
    assert items.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(mass, [expected[item] for item in (10, 20, 30, 40)], rtol=1e-6)
    top, best = by_hand.top_k([1001], [0], cutoff_s=10_000, k=3)
    assert top.tolist() == [[40, 30, 20]]
    np.testing.assert_allclose(best[0], [expected[item] for item in (40, 30, 20)], rtol=1e-6)


def test_the_oracle_by_hand_before_anything(by_hand: Oracle) -> None:
    # Organic at −1 s is not allowed; at 0 s nothing was heard and 10 isn't out; 20 is, and new.
    # Half trends: only 30 has begun. Artists have even odds: 40 and 30 by 1/4 and 3/4; 20.
    items, mass = by_hand.probabilities(1001, 1, cutoff_s=0)
    assert items.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(mass, [0, 1 / 4, 1 / 2 + 3 / 16, 1 / 16], rtol=1e-6, atol=1e-12)


@given(
    number=st.integers(0, SMALL["users"] - 1),
    context=st.integers(0, 1),
    cutoff_s=st.integers(0, END_S),
    k=st.sampled_from([1, 7, 100, 2_000, 9_000]),
)
def test_the_best_k_are_the_best_of_all(
    oracle: Oracle, uids: tuple[int, ...], number: int, context: int, cutoff_s: int, k: int
) -> None:
    user = uids[number]
    items, mass = oracle.probabilities(user, context, cutoff_s=cutoff_s)
    assert mass.sum() == pytest.approx(1)
    assert mass.min() >= 0
    top, best = oracle.top_k([user], [context], cutoff_s=cutoff_s, k=k)
    np.testing.assert_allclose(best[0], np.sort(mass)[::-1][:k], rtol=1e-12, atol=1e-18)
    at = np.searchsorted(items, top[0])
    assert (items[at] == top[0]).all()
    np.testing.assert_allclose(mass[at], best[0], rtol=1e-12, atol=1e-18)
    assert len(np.unique(top)) == k


def test_queries_may_come_in_any_order(oracle: Oracle, truth: Truth) -> None:
    users = np.repeat(truth.people.uid[::3], 2)
    contexts = np.tile([0, 1], len(users) // 2)
    items, mass = oracle.top_k(users, contexts, cutoff_s=CUTOFF_S, k=5)
    shuffled = np.random.default_rng(0).permutation(len(users))
    again, same = oracle.top_k(users[shuffled], contexts[shuffled], cutoff_s=CUTOFF_S, k=5)
    assert (again == items[shuffled]).all()
    assert (same == mass[shuffled]).all()


def test_nothing_from_the_cutoff_on_is_known(log: Path, oracle: Oracle, tmp_path: Path) -> None:
    (tmp_path / "flat/50m").mkdir(parents=True)
    (tmp_path / "truth").symlink_to(log / "truth")
    listens = pq.read_table(log / "flat/50m/listens.parquet")
    before = listens.filter(pc.less(listens["timestamp"], CUTOFF_S))
    pq.write_table(before, tmp_path / "flat/50m/listens.parquet")
    users = np.unique(column(before, "uid"))[:50]
    ours, theirs = (
        one.top_k(users, users % 2, cutoff_s=CUTOFF_S, k=20)
        for one in (oracle, Oracle.load(tmp_path))
    )
    assert (ours[0] == theirs[0]).all()
    assert (ours[1] == theirs[1]).all()


def test_probabilities_are_as_often_right_as_they_say(events: pa.Table, oracle: Oracle) -> None:
    """For the first listen after each of many cutoffs, where the frozen state is exact."""
    listens = events.filter(pc.equal(events["event_type"], "listen"))
    uid, time_s = column(listens, "uid"), column(listens, "timestamp")
    item, organic = column(listens, "item_id"), column(listens, "is_organic")
    expected, variance, seen, sizes = np.zeros(3), np.zeros(3), np.zeros(3), (1, 10, 100)
    for cutoff_s in range(4_000_000, END_S, 2_000_000):
        after = np.flatnonzero((time_s >= cutoff_s) & (time_s < cutoff_s + 43_200))
        first = after[np.unique(uid[after], return_index=True)[1]]
        items, mass = oracle.top_k(uid[first], organic[first], cutoff_s=cutoff_s, k=100)
        hit = items == item[first, None]
        for i, k in enumerate(sizes):
            p = mass[:, :k].sum(axis=1)
            expected[i] += p.sum()
            variance[i] += (p * (1 - p)).sum()
            seen[i] += hit[:, :k].sum()
    assert expected[0] > 50
    assert (np.abs(seen - expected) < 3.5 * np.sqrt(variance)).all(), (seen, expected)


def test_the_oracle_ranks_best_under_the_true_context(events: pa.Table, oracle: Oracle) -> None:
    plus = events.filter(pc.greater_equal(events["played_ratio_pct"], 50))
    uid, item = column(plus, "uid"), column(plus, "item_id")
    time_s, organic = column(plus, "timestamp"), column(plus, "is_organic")
    test = np.flatnonzero(time_s >= LAST_DAY_S)
    played, plays = np.unique(item[time_s < CUTOFF_S], return_counts=True)
    popular = played[np.argsort(-plays, kind="stable")[:100]]
    queries, of = np.unique(np.stack([uid[test], organic[test]]), axis=1, return_inverse=True)
    true, flipped = (
        oracle.top_k(queries[0], contexts, cutoff_s=CUTOFF_S, k=100)[0]
        for contexts in (queries[1], 1 - queries[1])
    )

    def found(lists: np.ndarray) -> float:
        return float((lists[of] == item[test, None]).any(axis=1).mean())

    popular_lists = np.broadcast_to(popular, true.shape)
    assert found(true) > 1.5 * found(flipped)
    assert found(true) > 2 * found(popular_lists)

    # and likelier: mean log probability of what was played against the other context's
    likelihood = np.zeros(2)
    for user, context in queries.T[:60].tolist():
        what = item[test][(uid[test] == user) & (organic[test] == context)]
        for i, c in enumerate((context, 1 - context)):
            items, mass = oracle.probabilities(user, c, cutoff_s=CUTOFF_S)
            p = mass[np.searchsorted(items, what)]
            likelihood[i] += np.log(np.maximum(p, 1e-9)).sum()
    assert likelihood[0] > likelihood[1]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"user_ids": [999_999_999]}, "unknown users"),
        ({"is_organic": [2]}, "unknown context"),
        ({"is_organic": [0, 1]}, "one user and one context"),
        ({"k": 0}, "k is out of bounds"),
        ({"k": -1}, "k is out of bounds"),
        ({"k": 1_000_000}, "k is out of bounds"),
        ({"cutoff_s": -1}, "cutoff"),
        ({"cutoff_s": END_S + 1}, "cutoff"),
    ],
)
def test_wrong_requests_are_refused(oracle: Oracle, request_: Any, words: str) -> None:
    usual = {"user_ids": [1001], "is_organic": [0], "cutoff_s": CUTOFF_S, "k": 10}
    with pytest.raises(RequestError, match=words) as raised:
        oracle.top_k(**{**usual, **request_})
    assert "allowed" in str(raised.value)


def test_a_log_without_its_truth_has_no_oracle(log: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no synthetic log"):
        Oracle.load(tmp_path)
    (tmp_path / "flat").symlink_to(log / "flat")
    (tmp_path / "truth").mkdir()
    with pytest.raises(ArtifactError, match=r"truth .* can't be read"):
        Oracle.load(tmp_path)
    for path in (log / "truth").iterdir():
        (tmp_path / "truth" / path.name).symlink_to(path)
    Oracle.load(tmp_path)
    (tmp_path / "truth/taste.npy").unlink()
    (tmp_path / "truth/taste.npy").write_bytes(b"not an array")
    with pytest.raises(ArtifactError, match=r"truth .* can't be read"):
        Oracle.load(tmp_path)
