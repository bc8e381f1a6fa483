"""Small folders laid out as data sets are unpacked; their videos are empty files, for nothing decodes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HMDB = {  # class -> clips with their marks in split 1; a film shows several classes
    "brush_hair": {"April_09_brush_hair_u_nm_np1_ba_goo_0": 1, "April_09_brush_hair_u_nm_np1_ba_goo_1": 1,
                   "#20_Rhythm_brush_hair_u_nm_np2_le_goo_0": 2, "odd name": 0},
    "kick": {"April_09_kick_f_cm_np1_ba_bad_2": 1, "Pirates_2_kick_l_nm_np2_ri_med_10": 2},
}  # fmt: skip


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """Files by their path below ``root``, with their text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def ucf101(root: Path, flat: bool = False, suffix: str = ".avi") -> Path:
    """Two classes of five groups of two clips; groups 1 and 2 are tested in split 1, group 3 in split 2."""
    classes = {"ApplyEyeMakeup": "v_ApplyEyeMakeup", "HandstandPushups": "v_HandStandPushups"}  # as it really is
    files = {"ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n"}
    for split, tested in ((1, (1, 2)), (2, (3,))):
        train, test = [], []
        for number, (label, name) in enumerate(classes.items(), 1):
            for group in range(1, 6):
                for clip in (1, 2):
                    stem = f"{name}_g{group:02d}_c{clip:02d}"
                    files[f"UCF-101/{'' if flat else f'{label}/'}{stem}{suffix}"] = ""
                    line = f"{label}/{stem}.avi"
                    (test if group in tested else train).append(line if group in tested else f"{line} {number}")
        files[f"ucfTrainTestlist/trainlist0{split}.txt"] = "\r\n".join(train) + "\r\n"
        files[f"ucfTrainTestlist/testlist0{split}.txt"] = "\n".join(test)
    files["ucfTrainTestlist/trainlist03.txt"] = "the test list is missing"
    return tree(root, files)


def hmdb51(root: Path) -> Path:
    """The clips of :data:`HMDB`; in split 2 training and test change places."""
    files = {f"hmdb51_org/{label}/{name}.avi": "" for label, marks in HMDB.items() for name in marks}
    for label, marks in HMDB.items():
        for split, places in ((1, {0: 0, 1: 1, 2: 2}), (2, {0: 0, 1: 2, 2: 1})):
            lines = [f"{name}.avi {places[mark]} " for name, mark in marks.items()]
            files[f"testTrainMulti_7030_splits/{label}_test_split{split}.txt"] = "\n".join(lines)
    return tree(root, files)


def activitynet(root: Path) -> Path:
    """AR-Net's lists of ActivityNet; two of four videos show several classes."""
    files = {
        "classInd.txt": "Archery\nBMX\nZumba\n",
        "actnet_train_split.txt": "v_a,3700,2,0\nv_b,2,1\nv_--c_,90,0\n",
        "actnet_val_split.txt": "v_d,120,2,1,0\n",
    }
    return tree(root, files | {f"videos/{name}.mp4": "" for name in ("v_a", "v_b", "v_--c_", "v_d")})


def fcvid(root: Path, lists: str = "materials/", names: str = "FCVID_CategoryName.txt") -> Path:
    """FCVID as it is released, with three classes; a name holds blanks, one video shows nothing, one two classes."""
    videos = {"surfing/-x y.mp4": "train", "dogs/b.flv": "train", "dogs/c.mp4": "test", "dogs/d.mp4": "test"}
    files = {
        f"{lists}FCVID_VideoName_TrainTestSplit.txt": "".join(f"{name}\t{part}\n" for name, part in videos.items()),
        f"{lists}FCVID_Label.txt": "0 0 1\n1 0 0\n0 0 0\n1 1 0\n",
        f"{lists}{names}": "1 dogs\n2 parade\n3 surfing\n",
    }
    return tree(root, files | {f"FCVID/{name}": "" for name in videos})


MINI_KINETICS = {
    "minik_classInd.txt": "eating, fast\nplaying cricket\n",
    "mini_train_videofolder.txt": "images/train/eating, fast/0123456789a_000000_000010 300 0\n"
    "images/train/playing cricket/-aBcDeFgHiJ_000010_000020 2 1\nimages/train/playing cricket/vanished_00 9 1\n",
    "mini_val_videofolder.txt": "images/val/playing cricket/_xyz_000007_000017 250 1\n",
    "compress/eating, fast/0123456789a_000000_000010.mp4": "",
    "compress/playing_cricket/-aBcDeFgHiJ_000010_000020.mkv": "",
    "compress/playing_cricket/_xyz_000007_000017.mp4": "",
}
"""AR-Net's lists of Mini-Kinetics; one of four videos is not there any more."""


KINETICS = """\
label,youtube_id,time_start,time_end,split
playing cricket,-aBcDeFgHiJ,10,20,train
"eating, fast",0123456789a,0,10,train
playing cricket,vanished_00,1234,1244,train
playing cricket,_xyz,7,17,validate
,unlabelled0,7,17,test
"""
