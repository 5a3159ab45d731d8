import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from segfuse_train import classes, pictures


def test_a_camvid_label_covers_the_train_ids_of_the_programs_own_table():
    table = classes.load("camvid")
    covered = {name: [classes.NAMES[c] for c in np.flatnonzero(row)] for name, row in zip(table.names, table.covers)}
    assert covered["building"] == ["building", "wall"]
    assert covered["car"] == ["car", "truck", "bus", "train"]
    assert sum(map(len, covered.values())) == classes.CLASSES


def test_an_ignored_or_unknown_id_is_no_label():
    table = classes.load("camvid")
    assert table.indices(np.array([[0, 11, 77]], np.uint8)).tolist() == [[0, 255, 255]]


def test_held_out_pictures_are_the_last_of_each_drive(camvid):
    learnt, held = pictures.hold_out(0.2)
    names = lambda select: {p.name for p in pictures.read(f"camvid:{camvid}", None, select)}
    assert names(held) == {"drive0_008", "drive0_009", "drive1_018", "drive1_019"}
    assert not names(held) & names(learnt) and len(names(learnt)) == 16


def test_a_picture_without_its_label_is_named(camvid, tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "label").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "image" / "lost.png")
    with pytest.raises(SystemExit, match="label/lost.png"):
        pictures.read(f"camvid:{tmp_path}")


def test_what_a_teacher_knows_in_part_only_is_refused(camvid, tmp_path):
    np.save(tmp_path / "drive0_000.npy", np.zeros((19, 4, 4), np.uint8))
    with pytest.raises(SystemExit, match="drive0_001.npy"):
        pictures.read(f"camvid:{camvid}", tmp_path)


def test_wrong_names_are_told(tmp_path):
    for text, told in (
        (f"{tmp_path}", "LAYOUT:FOLDER"),
        ("camvid:/nowhere", "no such folder"),
        (f"x:{tmp_path}", "no such class table"),
    ):
        with pytest.raises(SystemExit, match=told):
            pictures.read(text)


def test_cityscapes_pairs_pictures_and_labels_by_their_names(tmp_path):
    for part, name in (("leftImg8bit", "a_1_leftImg8bit.png"), ("gtFine", "a_1_gtFine_labelTrainIds.png")):
        (tmp_path / part / "train" / "a").mkdir(parents=True)
        kind = "RGB" if part == "leftImg8bit" else "L"
        Image.new(kind, (16, 8), 7 if kind == "L" else (1, 2, 3)).save(tmp_path / part / "train" / "a" / name)
    (found,) = pictures.read(f"cityscapes:{tmp_path}")
    assert found.image.shape == (3, 8, 16) and found.label.unique().tolist() == [7]


def test_a_flow_file_is_read_in_parts_of_half_the_picture(tmp_path):
    flow = np.array([[[1.0, -2.0], [1e10, 1e10]]], "<f4")
    path = tmp_path / "a.flo"
    path.write_bytes(np.float32(202021.25).tobytes() + np.array([2, 1], "<i4").tobytes() + flow.tobytes())
    read = pictures.read_flo(path)
    assert read[0, 0].tolist() == [1.0, -4.0] and np.isnan(read[0, 1]).all()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match="needs 28 bytes"):
        pictures.read_flo(path)
    assert torch.is_tensor(torch.from_numpy(read))


@pytest.mark.parametrize(
    "name, drive",
    [
        ("00000005", ""),
        ("0001TP_006690", "0001TP"),
        ("0016E5_07959", "0016E5"),
        ("000012_0", "000012"),
        ("front-17", "front-"),
        ("aachen_000000_000019_leftImg8bit", "aachen"),
        ("one", "one"),
    ],
)
def test_a_drive_is_what_its_frames_names_share(name, drive):
    assert pictures.drive_of(name) == drive


def test_frames_as_a_trip_exports_them_are_one_drive(camvid, tmp_path):
    for kind in ("image", "label"):
        (tmp_path / kind).mkdir()
        for place, path in enumerate(sorted((camvid / kind).iterdir())):
            shutil.copy(path, tmp_path / kind / f"{5 * place:08}.png")
    _, held = pictures.hold_out(0.1)
    assert [picture.name for picture in pictures.read(f"camvid:{tmp_path}", None, held)] == ["00000090", "00000095"]


def test_a_label_may_be_of_another_size_but_of_no_other_shape(few):
    path = sorted((few / "label").iterdir())[1]
    for size in ((80, 48), (320, 192), (161, 96), (53, 32)):
        Image.new("L", size, 3).save(path)
        assert pictures.read(f"camvid:{few}")[1].label.shape == (96, 160)
    for size in ((96, 160), (80, 96), (160, 90)):
        Image.new("L", size, 3).save(path)
        with pytest.raises(SystemExit, match=f"{path.name}: {size[0]}x{size[1]} is of another shape than .*160x96"):
            pictures.read(f"camvid:{few}")


def test_ids_that_the_table_lacks_are_counted_and_told(few, capsys):
    pictures.read(f"camvid:{few}")
    assert "no label" not in capsys.readouterr().err
    path = min((few / "label").iterdir())
    label = np.full((96, 160), 3, np.uint8)
    label[:48] = 77
    Image.fromarray(label).save(path)
    assert (pictures.read(f"camvid:{few}")[0].label[:48] == 255).all()
    assert "12.5 % of the labels' pixels have ids that 'camvid' lacks (77): no label" in capsys.readouterr().err


def test_a_label_of_more_than_a_byte_is_refused_instead_of_cut(few):
    path = min((few / "label").iterdir())
    Image.fromarray(np.full((96, 160), 259, np.uint16)).save(path)
    with pytest.raises(SystemExit, match="has the id 259; class ids go up to 255"):
        pictures.read(f"camvid:{few}")


@pytest.mark.filterwarnings("error")
def test_no_picture_is_read_with_a_warning(few):
    for mode in ("L", "P", "RGBA", "1"):
        path = min((few / "image").iterdir())
        Image.open(path).convert(mode).save(path)
        Image.new("L", (80, 48), 3).save(few / "label" / path.name)
        assert pictures.read(f"camvid:{few}")[0].image.shape == (3, 96, 160)
    Image.new("RGB", (1, 1)).save(path)
    Image.new("L", (1, 1), 3).save(few / "label" / path.name)
    assert pictures.read(f"camvid:{few}")[0].image.shape == (3, 1, 1)


def test_a_class_table_that_is_none_is_named(few, tmp_path):
    for text in ("[class", "name = 'x'\n", "name = 'x'\n[[class]]\nid = 1\n"):
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(SystemExit, match="mine.toml: cannot be read as a class table"):
            pictures.read(f"{tmp_path / 'mine.toml'}:{few}")
