"""What is read from well-meant files, and what is said of bad ones."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.annotations import read_annotations, read_predictions
from kinoscope.data.segments import Annotations, Segment
from kinoscope.errors import AnnotationError

MODES = st.sampled_from(["error", "drop", "keep"])


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def store(content: str | bytes | dict[str, Any], name: str | None = None) -> Path:
        path = tmp_path / (name or ("a.json" if isinstance(content, dict) else "a.csv"))
        text = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return store


def refusal(path: Path, **options: Any) -> AnnotationError:
    with pytest.raises(AnnotationError) as caught:
        read_annotations(path, **options)
    assert caught.value.cure, "every refusal needs a cure"
    return caught.value


def one_video(*annotations: Any, **video: Any) -> dict[str, Any]:
    return {"database": {"v1": {**video, "annotations": list(annotations)}}}


# --- tables --------------------------------------------------------------------------------------------------------


def test_segments(write: Any) -> None:
    found = read_annotations(
        write("video,start,end,label,split\nd/a.mp4,1,2.5,fall,test\nd/a.mp4,3,4,lie,test\nb,,,,\n")
    )
    assert list(found.videos) == ["d/a", "b"]
    assert found.videos["d/a"].segments == (Segment(1, 2.5, "fall"), Segment(3, 4, "lie"))
    assert found.videos["d/a"].subset == "test" and found.videos["d/a"].path == Path("d/a.mp4")
    assert found.videos["b"].segments == () and found.videos["b"].path is None
    assert found.classes == ("fall", "lie") and found.flaws == ()


def test_clips(write: Any) -> None:
    found = read_annotations(write("video,label\na.avi,wave\nb.avi,run\n"))
    assert {name: video.label for name, video in found.videos.items()} == {"a": "wave", "b": "run"}


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffvideo,start,end,label\r\na,1,2.5,x\r\n",
        "Label;END;Start;Video;note\nx;2,5;1;a;hm\n",
        "VIDEO\tSTART\tEND\tLABEL\na\t1\t2.5\tx\n",
        '"video", "start","end","label"\n\n a , 1 , 2.5 , x \n\n',
        'remark,video,start,end,label\n"two\nlines, one cell",./a,1,2.5,x\n',
        "video-name,t-start,t-end,action-label,temporal-region-label\na,1,2.5,x,Action\na,0,1,,No action\n",
    ],
)
def test_tables_in_many_dresses(write: Any, text: str) -> None:
    assert read_annotations(write(text)).videos["a"].segments == (Segment(1, 2.5, "x"),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,5,5,x", "start 5 equals end 5"),
        ("a,6,5,x", "start 6 is not before end 5"),
        ("a,nan,5,x", "start is nan"),
        ("a,1,inf,x", "end is inf"),
        ("a,-1,5,x", "start -1 is negative"),
        ("a,one,5,x", "start is 'one', not a number"),
        ("a,,5,x", "start is missing"),
        ("a,1,5,", "label is ''"),
        ("a,,,x", "start is missing"),
        (",1,5,x", "no video is named"),
        ("../a,1,5,x", "leads out of the folder"),
        ("b\\..\\..\\a,1,5,x", "leads out of the folder"),
        ("/etc/a.mp4,1,5,x", "is absolute"),
        ("C:\\a.mp4,1,5,x", "is absolute"),
        ("a,1,5,x,y,z,w", "7 cells"),
        ("a,1:30,5,x", "not a number"),
        ("ok,0,1,x", "the same row as at"),
        ("a,1,2,x,0", "duration 0 is not positive"),
        ("a,1,2,x,soon", "duration is 'soon'"),
        ("a,1,9,x,5", "end 9 is beyond the duration 5"),
        ("ok,1,2,x,7", "duration of 'ok' is '7.0' here but '9.0' before"),
        ("ok.avi,1,2,x", "path of 'ok' is 'ok.avi' here but 'ok.mp4' before"),
        ("ok,,,", "said to hold nothing"),
    ],
)
def test_bad_rows_are_refused_with_their_line(write: Any, row: str, message: str) -> None:
    path = write(f'video,start,end,label,duration,note\nok.mp4,0,1,x,9,"a note\nof two lines"\n\n{row}\n')
    error = refusal(path)
    assert error.where == f"{path}:5" and message in error.problem


def test_cures_say_what_to_do(write: Any) -> None:
    assert refusal(write("video,start,end,label\na,1:30,5,x\n")).cure == "give times in seconds: 1:30 is 90"
    assert "decimals with a point" in str(refusal(write('video,start,end,label\na,"1,5",5,x\n')).cure)
    error = refusal(write("video,start,end,label\na,1,5,Fal\n"), classes=["fall", "lie"])
    assert "unknown label 'Fal'" in error.problem and error.cure == "did you mean 'fall'?"
    assert "known labels: fall, lie" in str(refusal(write("video,label\na,zebra\n"), classes=["fall", "lie"]).cure)


def test_a_clip_has_one_label(write: Any) -> None:
    path = write("video,label\na,x\na,x\nb,x\nb,y\n")
    text = str(refusal(path))
    assert f"{path}:3: the same row as at {path}:2" in text and f"{path}:5: clip 'b' is 'y' here but 'x' at" in text


def test_all_problems_are_told_up_to_twenty(write: Any) -> None:
    path = write("video,start,end,label\n" + "a,2,1,x\n" * 30 + "b,0,1,x\n")
    text = str(refusal(path))
    assert "30 problems" in text and text.count("not before") == 20 and "and 10 more" in text
    assert f"{path}:2:" in text and f"{path}:21:" in text and f"{path}:22:" not in text


def test_what_is_printed_cannot_steer_a_terminal(write: Any) -> None:
    assert "\x1b" not in str(refusal(write("video,start,end,label\n\x1b[2Ja,x,1,y\n" + "\x1b]0;t\x07,0,\x1b,x\n")))


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        (b"", "", "is empty"),
        (b" \n\n", "", "is empty"),
        (b"\xef\xbb\xbf", ":1", "no column video or label"),
        (b"video,label\na,x\0\n", ":2", "NUL byte"),
        ("video,label\na,x\n".encode("utf-16"), ":1", "NUL byte"),
        (b"video,label\na,x\nb,caf\xe9\n", ":3", "byte 0xe9 is not UTF-8"),
        (b"file,class\na,x\n", ":1", "no column video or label; the header has 'file', 'class'"),
        (b"video,start,label\na,1,x\n", ":1", "no column end"),
        (b"video,label,Video\na,x,b\n", ":1", "two columns are named video"),
        (b'video,label\na,"x\n', ":2", "not a readable table"),
        (b"video,label\n", "", "names no video"),
        (b"\x89PNG\r\n\x1a\n\0", ":3", "NUL byte"),
    ],
)
def test_files_that_are_no_tables(write: Any, content: bytes, where: str, message: str) -> None:
    path = write(content)
    error = refusal(path)
    assert f"{error.where}" == f"{path}{where}" and message in error.problem


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such" in refusal(tmp_path / "none.csv").problem
    assert "is a folder" in refusal(tmp_path).problem


def test_absolute_paths_below_the_root_become_relative(write: Any, tmp_path: Path) -> None:
    path = write(f"video,label\n{tmp_path}/videos/d/a.mp4,x\n")
    found = read_annotations(path, root=tmp_path / "videos")
    assert found.videos["d/a"].path == Path("d/a.mp4")
    assert "is absolute" in refusal(path, root=tmp_path / "elsewhere").problem


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_json_is_read_tolerantly(write: Any) -> None:
    found = read_annotations(
        write(
            {
                "version": "1",
                "database": {
                    "v1": {
                        "duration": "9.5",
                        "subset": "test",
                        "file": "d/v1.mp4",
                        "annotations": [
                            {"segment": ["1", "2.5"], "label": 7, "extra": None},
                            {"segment": [3, 4], "label_id": 3},
                        ],
                    },
                    "v2": {"annotations": []},
                },
            }
        )
    )
    assert found.videos["v1"].segments == (Segment(1, 2.5, "7"), Segment(3, 4, "3"))
    assert found.videos["v1"].duration == 9.5 and found.videos["v1"].path == Path("d/v1.mp4")
    assert found.videos["v2"].segments == ()


@pytest.mark.parametrize(
    ("tree", "where", "message"),
    [
        (one_video({"segment": [2, 1], "label": "x"}), ".annotations[0].segment", "not before end"),
        (one_video({"segment": [0, "x"], "label": "x"}), ".annotations[0].segment", "end is 'x'"),
        (one_video({"segment": [0, True], "label": "x"}), ".annotations[0].segment", "end is True"),
        (one_video({"segment": [0, 10**400], "label": "x"}), ".annotations[0].segment", "not a number"),
        (one_video({"segment": [0, float("nan")], "label": "x"}), ".annotations[0].segment", "end is nan"),
        (one_video({"segment": [0, 1, 2], "label": "x"}), ".annotations[0].segment", "is a list of 3 items"),
        (one_video({"segment": [0, 1]}), ".annotations[0].label", "label is None"),
        (one_video({"segment": [0, 1], "label": "\ud800"}), ".annotations[0].label", "not a name"),
        (one_video({"segment": [0, 9], "label": "x"}, duration=5), ".annotations[0].segment", "beyond the duration 5"),
        (one_video({"label": "x"}), ".annotations[0]", "has no 'segment'"),
        (one_video(3), ".annotations[0]", "not an object"),
        ({"database": {"v1": {"duration": 3}}}, "", "has no 'annotations'"),
        ({"database": {"v1": {"annotations": {}}}}, "", "not a list of segments"),
        ({"database": {"v1": []}}, "", "is a list of 0 items, not an object"),
    ],
)
def test_bad_json_rows_are_refused_with_their_place(write: Any, tree: Any, where: str, message: str) -> None:
    path = write(tree)
    error = refusal(path)
    assert error.where == f'{path}: database["v1"]{where}' and message in error.problem


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('{"database": {"v1":\n  {"annotations": [}}}', ":2:20", "not JSON"),
        ('{"database": {"v1": {"annotations": []}', ":1:40", "not JSON"),
        ('{"database": {"v": {"annotations": []}, "v": {"annotations": []}}}', "", "'v' occurs twice"),
        ('{"videos": {}}', "", "an object with the keys 'videos'"),
        ("[1, 2]", "", "a list of 2 items"),
        ('{"database": []}', "", "not an annotation file"),
        ('{"database": {}}', "", "names no video"),
        ("[" * 100_000, "", "nested too deeply"),
        ('{"database": ' + "9" * 5000 + "}", "", "cannot be read"),
        ('{"database": {"../../etc": {"annotations": []}}}', ': database["../../etc"]', "leads out"),
        ('{"database": {"a\\u0000b": {"annotations": []}}}', ': database["a\\u0000b"]', "name of a file"),
    ],
)
def test_json_that_is_no_annotation_file(write: Any, text: str, where: str, message: str) -> None:
    path = write(text)
    error = refusal(path)
    assert f"{error.where}" == f"{path}{where}" and message in error.problem


def test_results_are_read_too(write: Any) -> None:
    path = write({"results": {"v1": [{"label": "x", "segment": [0, 1], "score": "0.5"}], "v2": []}})
    found = read_annotations(path)
    assert found.videos["v1"].segments == (Segment(0, 1, "x", 0.5),) and found.videos["v2"].segments == ()
    bad = write({"results": {"v1": [{"label": "x", "segment": [0, 1], "score": float("nan")}]}})
    assert refusal(bad).where == f'{bad}: results["v1"][0].score' and "score is nan" in refusal(bad).problem


# --- anything at all -------------------------------------------------------------------------------------------------

_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["annotations", "segment", "label", "score", "duration", "subset", "file", "v"]), inner
        ),
    ),
    max_leaves=12,
)
_cells = st.sampled_from(
    ["video", "start", "end", "label", ",", ";", "\t", "\n", '"', "'", "1", "-", ".", "..", "/", "\\", "nan", "\r", "é"]
)


def read_or_refuse(content: bytes, on_flaw: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        try:
            found = read_annotations(path, on_flaw=on_flaw)
        except AnnotationError as error:
            assert error.cure and str(path) in str(error.where)
            return
    for name, video in found.videos.items():
        assert ".." not in name.split("/") and not name.startswith("/")
        assert all(math.isfinite(s.start) and s.start <= s.end and s.label for s in video.segments)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.binary(max_size=60), st.lists(_cells, max_size=30).map(lambda cells: "".join(cells).encode())), MODES
)
def test_any_bytes_are_read_or_refused(content: bytes, on_flaw: Any) -> None:
    read_or_refuse(content, on_flaw)
    read_or_refuse(b"video,start,end,label\n" + content, on_flaw)


@settings(max_examples=150, deadline=None)
@given(_json, st.sampled_from(["database", "results"]), MODES)
def test_any_json_is_read_or_refused(tree: Any, section: str, on_flaw: Any) -> None:
    for value in ({section: tree}, {section: {"v": tree}}, {section: {"v": {"annotations": [tree]}}}):
        read_or_refuse(json.dumps(value).encode(), on_flaw)


# --- tolerance -----------------------------------------------------------------------------------------------------

FLAWED = "video,start,end,label,duration\na,0,5,x,10\na,0,5,x,10\na,4,4,x,10\na,-1,2,x,10\na,8,10.4,x,10\na,8,20,x,10\n"


def kinds(found: Annotations) -> list[tuple[str, str]]:
    return sorted((flaw.kind, flaw.done) for flaw in found.flaws)


def test_drop_leaves_flawed_rows_out_and_counts_them(write: Any) -> None:
    path = write(FLAWED + "b,9,1,x,\nb,x,1,x,\nb,0,1,x,\n")
    found = read_annotations(path, on_flaw="drop")
    assert [s.end for s in found.videos["a"].segments] == [5, 10] and len(found.videos["b"].segments) == 1
    dropped = ["beyond", "duplicate", "empty", "negative", "number", "reversed"]
    assert kinds(found) == sorted([(kind, "dropped") for kind in dropped] + [("overshoot", "clipped")])
    assert found.flaws[0].where == f"{path}:3"


def test_keep_takes_measurable_rows_as_they_are(write: Any) -> None:
    found = read_annotations(write(FLAWED), on_flaw="keep")
    assert [s.end for s in found.videos["a"].segments] == [5, 5, 4, 2, 10.4, 20]
    assert {done for _, done in kinds(found)} == {"kept"}
    for row in ("a,9,1,x,", "a,nan,1,x,", "../a,0,1,x,"):
        refusal(write(FLAWED + row + "\n"), on_flaw="keep")


def test_paths_out_of_the_folder_are_refused_always(write: Any) -> None:
    refusal(write("video,start,end,label\n../a,0,1,x\nb,0,1,x\n"), on_flaw="drop")


def test_a_small_overshoot_is_clipped_and_told(write: Any) -> None:
    found = read_annotations(write("video,start,end,label,duration\na,1,10.4,x,\na,0,3,x,10\n"))
    assert found.videos["a"].segments[0].end == 10 and kinds(found) == [("overshoot", "clipped")]
    assert found.subset("none").flaws == found.flaws


# --- predictions ---------------------------------------------------------------------------------------------------


def test_predictions_need_scores(write: Any) -> None:
    assert read_predictions(write("video,start,end,label,score\n")).videos == {}
    assert read_predictions(write({"results": {}})).videos == {}
    found = read_predictions(write("video,start,end,label,score\na,0,1,x,0.5\na,-0.5,1,x,1\na,2,2,x,0\nb,,,,\n"))
    assert [s.score for s in found.videos["a"].segments] == [0.5, 1, 0] and found.videos["b"].segments == ()
    for text in ("video,start,end,label\na,0,1,x\n", "video,start,end,label,score\na,0,1,x,\n", "video,label\na,x\n"):
        with pytest.raises(AnnotationError, match=r"score|clips"):
            read_predictions(write(text))


def test_proposals_need_no_labels(write: Any) -> None:
    rows = [{"segment": [0, 1], "score": 0.5}, {"segment": [1, 2], "score": 0.4, "label": "x"}]
    for content in ("video,start,end,score\na,0,1,0.5\na,1,2,0.4\n", {"results": {"a": rows}}):
        path = write(content)
        with pytest.raises(AnnotationError, match="label"):
            read_predictions(path)
        found = read_predictions(path, need_labels=False).videos["a"].segments
        assert [s.label for s in found] == ["", "x" if isinstance(content, dict) else ""]
    with pytest.raises(AnnotationError, match="no column label"):
        read_annotations(write("video,start,end\na,0,1\n"))


# --- real files ----------------------------------------------------------------------------------------------------


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "annotations"
    thumos = read_annotations(folder / "thumos_gt.json")
    assert len(thumos.videos) == 410 and len(thumos.subset("test").videos) == 210 and not thumos.flaws
    urfd = read_annotations(shared_data / "urfd" / "annotations.json")
    assert sum(len(video.segments) for video in urfd.videos.values()) == 97
    assert sum(not video.segments for video in urfd.videos.values()) == 24
    multi = folder / "multithumos_anno.json"
    assert refusal(multi).where == f'{multi}: database["video_validation_0000054"].annotations[18].segment'
    assert kinds(read_annotations(multi, on_flaw="keep")) == [("beyond", "kept")]
    tsp = read_annotations(folder / "activitynet_v1-3_valid_tsp_groundtruth.csv", on_flaw="keep")
    assert len(tsp.videos) == 4926 and len(tsp.classes) == 200
    assert "no column video" in refusal(folder / "activitynet_v1-3_valid_metadata.csv").problem
    assert "a list of 200 items" in refusal(folder / "activitynet_v1-3_action_label_mapping.json").problem
