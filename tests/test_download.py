"""Downloads, against a local server that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from antiphon import hub
from antiphon.download import DEFAULT_PARTS, PARTS, SIZES, download_yambda, yambda_paths
from antiphon.errors import ConfigError, DownloadError
from hub_server import HubServer

EVENTS = "flat/50m/multi_event.parquet"
ARTISTS = "artist_item_mapping.parquet"
ALBUMS = "album_item_mapping.parquet"
LIKES = "flat/50m/likes.parquet"
# The client writes in pieces of 10 MiB: a break at 22 MiB leaves two of them on disk.
EVENTS_BYTES = 24 * 2**20
BREAK_AT = 22 * 2**20
KEPT_BYTES = 20 * 2**20


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    random = np.random.default_rng(7)
    return {
        EVENTS: random.bytes(EVENTS_BYTES),
        ARTISTS: random.bytes(70_001),
        ALBUMS: random.bytes(3),
        LIKES: random.bytes(5_000),
        "embeddings.parquet": random.bytes(6_000),
    }


@pytest.fixture
def server(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import close_session

    close_session()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # The client waits a second before it tries again.
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
    with HubServer(dict(contents)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
        close_session()


def files_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------ which files


def test_paths_follow_the_repository() -> None:
    assert yambda_paths("500m") == ("flat/500m/multi_event.parquet", ARTISTS, ALBUMS)
    assert yambda_paths("5b", ["likes", "embeddings", "likes"]) == (
        "flat/5b/likes.parquet",
        "embeddings.parquet",
    )
    assert len({path for size in SIZES for path in yambda_paths(size, PARTS)}) == 3 * 6 + 3
    assert "embeddings" not in DEFAULT_PARTS


@pytest.mark.parametrize(
    ("size", "parts", "received", "hint"),
    [
        ("50M", None, "50M", "'50m'"),
        ("50m", ["multi_events"], "multi_events", "'multi_event'"),
        ("50m", ["likes", "artist_mapping"], "artist_mapping", "'artist_item_mapping'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    tmp_path: Path, size: str, parts: list[str] | None, received: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=f"received: {received}") as caught:
        download_yambda(tmp_path, size=size, parts=parts)
    assert hint in str(caught.value)


def test_no_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no part"):
        download_yambda(tmp_path, parts=[])


# ------------------------------------------------------------------ whole transfers


def test_default_parts_arrive_whole(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    result = download_yambda(tmp_path / "yambda")
    assert files_below(tmp_path) == {f"yambda/{p}" for p in (EVENTS, ARTISTS, ALBUMS)}
    assert result.commit == server.commit
    assert [f.state for f in result.files] == ["downloaded"] * 3
    for file, path in zip(result.files, (EVENTS, ARTISTS, ALBUMS), strict=True):
        assert file.path == tmp_path / "yambda" / path
        assert file.path.read_bytes() == contents[path]
        assert file.size_bytes == len(contents[path])
        assert file.sha256 == hashlib.sha256(contents[path]).hexdigest()
        assert file.resumed_from_bytes == 0
    assert server.sent_bytes == EVENTS_BYTES + 70_001 + 3
    # One revision: asked once by name, then only by its commit.
    first, *others = server.asked("hub", "HEAD") + server.asked("hub", "GET")
    assert "/main/" in first.path
    assert all(f"/{server.commit}/" in asked.path for asked in others)
    # A compressed body has no length to check and makes servers ignore ranges.
    assert {asked.accept_encoding for asked in server.log} == {"identity"}


def test_the_token_goes_to_the_hub_only(server: HubServer, tmp_path: Path) -> None:
    server.token = "hf_of_the_tests"
    download_yambda(tmp_path, parts=["likes"])
    assert {a.authorization for a in server.log if a.server == "hub"} == {"Bearer hf_of_the_tests"}
    assert {a.authorization for a in server.log if a.server == "content"} == {None}


def test_endpoint_wins_over_the_environment(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    download_yambda(tmp_path, parts=["likes"], endpoint=server.endpoint + "/")
    assert files_below(tmp_path) == {LIKES}


def test_progress_states_the_sizes_first_and_ends_full(server: HubServer, tmp_path: Path) -> None:
    shown = io.StringIO()
    progress = Progress(console=Console(file=shown, width=200), disable=True)
    download_yambda(tmp_path, parts=["multi_event", "likes"], progress=progress)
    # 24 MiB + 5,000 bytes = 25,170,824 bytes
    assert "2 files, 25.2 MB; 0 already here and whole; 25.2 MB to fetch" in shown.getvalue()
    assert [(task.total, task.completed) for task in progress.tasks] == [
        (EVENTS_BYTES, EVENTS_BYTES),
        (5_000, 5_000),
    ]


def test_large_files_come_in_windows(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes]
) -> None:
    monkeypatch.setattr(hub, "_WINDOW_BYTES", 30_000)
    download_yambda(tmp_path, parts=["artist_item_mapping"])
    assert [a.range for a in server.asked("content", "GET")] == [
        "bytes=0-29999",
        "bytes=30000-59999",
        "bytes=60000-",
    ]
    assert (tmp_path / ARTISTS).read_bytes() == contents[ARTISTS]


# ------------------------------------------------------------------ already there


def _identity(path: Path) -> tuple[int, int, int]:
    """Which file it is and when it was written; when it was read may change."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def test_a_file_already_there_is_verified_and_kept(server: HubServer, tmp_path: Path) -> None:
    download_yambda(tmp_path, parts=["likes"])
    before = _identity(tmp_path / LIKES)
    server.sent_bytes = 0
    result = download_yambda(tmp_path, parts=["likes", "album_item_mapping"])
    assert [f.state for f in result.files] == ["present", "downloaded"]
    assert _identity(tmp_path / LIKES) == before
    assert server.sent_bytes == 3


def test_a_damaged_file_already_there_is_replaced(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    download_yambda(tmp_path, parts=["likes"])
    damaged = bytearray(contents[LIKES])
    damaged[2_500] ^= 1
    (tmp_path / LIKES).write_bytes(damaged)
    result = download_yambda(tmp_path, parts=["likes"])
    assert [f.state for f in result.files] == ["replaced"]
    assert (tmp_path / LIKES).read_bytes() == contents[LIKES]


@pytest.mark.parametrize("size_bytes", [5_000, 5_001])
def test_a_file_changed_at_the_hub_is_fetched_again(
    server: HubServer, tmp_path: Path, size_bytes: int
) -> None:
    first = download_yambda(tmp_path, parts=["likes"])
    server.files[LIKES] = b"n" * size_bytes
    second = download_yambda(tmp_path, parts=["likes"])
    assert second.commit != first.commit
    assert [f.state for f in second.files] == ["replaced"]
    assert (tmp_path / LIKES).read_bytes() == b"n" * size_bytes


# ------------------------------------------------------------------ broken transfers


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_broken_midway_is_continued_at_once(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes], reset: bool
) -> None:
    server.break_at, server.breaks, server.reset = BREAK_AT, 1, reset
    download_yambda(tmp_path, parts=["multi_event"])
    assert (tmp_path / EVENTS).read_bytes() == contents[EVENTS]
    first, second = server.asked("content", "GET")
    assert first.range is None
    assert second.range in ("bytes=10485760-", f"bytes={KEPT_BYTES}-")
    # 22 MiB and again what came after the last piece written: less than two whole files.
    assert EVENTS_BYTES < server.sent_bytes < 2 * EVENTS_BYTES


def test_an_interrupted_download_is_continued_by_the_next_call(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    server.break_at, server.breaks = BREAK_AT, 99
    with pytest.raises(DownloadError, match="can't be reached") as caught:
        download_yambda(tmp_path, parts=["multi_event"])
    assert "continues where it stopped" in str(caught.value)
    sha256 = hashlib.sha256(contents[EVENTS]).hexdigest()
    assert files_below(tmp_path) == {f"{EVENTS}.{sha256[:16]}.partial"}

    server.breaks, server.sent_bytes = 0, 0
    server.log.clear()
    (file,) = download_yambda(tmp_path, parts=["multi_event"]).files
    assert file.resumed_from_bytes == KEPT_BYTES
    assert [a.range for a in server.asked("content", "GET")] == [f"bytes={KEPT_BYTES}-"]
    assert server.sent_bytes == EVENTS_BYTES - KEPT_BYTES
    assert file.path.read_bytes() == contents[EVENTS]
    assert files_below(tmp_path) == {EVENTS}


def test_a_killed_download_leaves_no_file_and_is_continued(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    server.hold_at = BREAK_AT
    script = (
        "import sys; from pathlib import Path; from antiphon.download import download_yambda;"
        "download_yambda(Path(sys.argv[1]), parts=['multi_event'])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    try:
        assert server.holding.wait(timeout=60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.release.set()
    assert EVENTS not in files_below(tmp_path)

    (file,) = download_yambda(tmp_path, parts=["multi_event"]).files
    assert file.resumed_from_bytes >= 10 * 2**20
    assert file.path.read_bytes() == contents[EVENTS]
    assert files_below(tmp_path) == {EVENTS}


def test_a_server_that_ignores_ranges_starts_the_file_anew(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    partial = hub.partial_path(
        tmp_path / ARTISTS, hub.ask("yandex/yambda", ARTISTS, revision="main")
    )
    partial.write_bytes(contents[ARTISTS][:1_000])
    server.ignore_range = True
    download_yambda(tmp_path, parts=["artist_item_mapping"])
    assert [a.range for a in server.asked("content", "GET")] == ["bytes=1000-"]
    assert (tmp_path / ARTISTS).read_bytes() == contents[ARTISTS]


def test_a_partial_of_another_version_is_not_continued(server: HubServer, tmp_path: Path) -> None:
    partial = hub.partial_path(tmp_path / ALBUMS, hub.ask("yandex/yambda", ALBUMS, revision="main"))
    partial.write_bytes(b"ab")
    server.files[ALBUMS] = b"abcd"
    (file,) = download_yambda(tmp_path, parts=["album_item_mapping"]).files
    assert file.resumed_from_bytes == 0
    assert file.path.read_bytes() == b"abcd"
    assert files_below(tmp_path) == {ALBUMS}


def test_two_downloads_of_one_file_at_once_are_refused(server: HubServer, tmp_path: Path) -> None:
    from filelock import FileLock

    with (
        FileLock(tmp_path / f"{ALBUMS}.lock"),
        pytest.raises(DownloadError, match="another download is writing"),
    ):
        download_yambda(tmp_path, parts=["album_item_mapping"])


# ------------------------------------------------------------------ damaged transfers


def test_a_corrupted_file_is_refused_and_deleted(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    server.corrupt = True
    with pytest.raises(DownloadError, match=r"damaged and was deleted: its SHA-256") as caught:
        download_yambda(tmp_path, parts=["likes"])
    assert caught.value.exit_code != 0
    assert files_below(tmp_path) == set()

    server.corrupt = False
    download_yambda(tmp_path, parts=["likes"])
    assert (tmp_path / LIKES).read_bytes() == contents[LIKES]


def test_a_corrupted_beginning_is_found_after_resuming(server: HubServer, tmp_path: Path) -> None:
    partial = hub.partial_path(tmp_path / ALBUMS, hub.ask("yandex/yambda", ALBUMS, revision="main"))
    partial.write_bytes(b"x")
    with pytest.raises(DownloadError, match="SHA-256"):
        download_yambda(tmp_path, parts=["album_item_mapping"])
    assert files_below(tmp_path) == set()


def test_a_corrupted_new_version_leaves_the_old_file(
    server: HubServer, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    download_yambda(tmp_path, parts=["likes"])
    server.files[LIKES], server.corrupt = b"new", True
    with pytest.raises(DownloadError, match="damaged"):
        download_yambda(tmp_path, parts=["likes"])
    assert (tmp_path / LIKES).read_bytes() == contents[LIKES]


def test_a_file_shorter_than_stated_is_refused(server: HubServer, tmp_path: Path) -> None:
    server.shorten = 1
    with pytest.raises(DownloadError, match="damaged and was deleted: its length"):
        download_yambda(tmp_path, parts=["likes"])
    partial = hub.partial_path(tmp_path / ALBUMS, hub.ask("yandex/yambda", ALBUMS, revision="main"))
    partial.write_bytes(server.files[ALBUMS][:2])  # the server has no third byte: HTTP 416
    with pytest.raises(DownloadError, match="ends earlier than stated"):
        download_yambda(tmp_path, parts=["album_item_mapping"])
    assert files_below(tmp_path) == set()


# ------------------------------------------------------------------ refusals


def test_an_unknown_revision_and_a_missing_file_are_told_apart(
    server: HubServer, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="no such revision"):
        download_yambda(tmp_path, revision="v9")
    with pytest.raises(DownloadError, match=r"refused flat/500m/multi_event\.parquet") as caught:
        download_yambda(tmp_path, size="500m")
    assert "no such file" in str(caught.value)
    assert files_below(tmp_path) == set()


def test_a_missing_part_is_found_before_anything_is_transferred(
    server: HubServer, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="HTTP 404"):
        download_yambda(tmp_path, parts=["likes", "dislikes"])
    assert server.sent_bytes == 0


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_says_what_to_do(server: HubServer, tmp_path: Path, status: int) -> None:
    server.refuse = status
    with pytest.raises(DownloadError, match=f"HTTP {status}") as caught:
        download_yambda(tmp_path, parts=["likes"])
    assert ("HF_TOKEN" in str(caught.value)) == (status in (401, 403))


def test_a_wrong_token_is_refused_without_showing_it(server: HubServer, tmp_path: Path) -> None:
    server.token = "another"
    with pytest.raises(DownloadError, match="HF_TOKEN") as caught:
        download_yambda(tmp_path, parts=["likes"])
    assert "hf_of_the_tests" not in str(caught.value)


def test_a_refusing_content_network_is_named_without_the_signature(
    server: HubServer, tmp_path: Path
) -> None:
    server.refuse_content = 403
    with pytest.raises(DownloadError, match="HTTP 403") as caught:
        download_yambda(tmp_path, parts=["likes"])
    assert "secret" not in str(caught.value)


def test_a_server_that_is_no_hub_is_refused(server: HubServer, tmp_path: Path) -> None:
    server.hide = True
    with pytest.raises(DownloadError, match="can't be verified"):
        download_yambda(tmp_path, parts=["likes"])


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "ftp://127.0.0.1", "nonsense"])
def test_a_hub_that_is_down_is_said_so(server: HubServer, tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(DownloadError, match="can't be reached"):
        download_yambda(tmp_path, parts=["likes"], endpoint=endpoint)


def test_offline_mode_is_named(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        download_yambda(tmp_path, parts=["likes"])


def test_a_disk_too_small_is_refused_before_the_transfer(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: real._replace(free=EVENTS_BYTES))
    with pytest.raises(DownloadError, match="too small") as caught:
        download_yambda(tmp_path / "new" / "folder")
    assert "25.2 MB free" in str(caught.value)
    assert server.sent_bytes == 0
    assert files_below(tmp_path) == set()
    # The events alone fit exactly, and what is here already needs no room.
    download_yambda(tmp_path, parts=["multi_event"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: real._replace(free=70_004))
    download_yambda(tmp_path)


def test_a_disk_that_fills_up_keeps_what_arrived(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(DownloadError, match="the disk is full"):
        download_yambda(tmp_path, parts=["likes"])
    assert LIKES not in files_below(tmp_path)


def test_a_folder_that_is_a_file_is_refused(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DownloadError, match="can't be written"):
        download_yambda(tmp_path / "taken", parts=["likes"])


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadError, match=r"antiphon\[hub\]"):
        download_yambda(tmp_path)
