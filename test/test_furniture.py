# Furniture libraries, made here, and rooms rendered with what they hold.
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from pandapose_ros.synthetic.furnished import render_furnished
from pandapose_ros.synthetic.furniture import MOST_FACES, Thing, read_library
from pandapose_ros.tools.main import main
from pandapose_ros.tools.rendered_folder import keep_options

RED, GREEN, BLUE, MAGENTA = (220, 10, 10), (10, 200, 10), (10, 10, 220), (200, 10, 200)
SHELF = (
    "name#1=Étag\\u00e8re\nmodel#1=/made/shelf/shelf.obj\nwidth#1=40\ndepth#1=20\nheight#1=100\n"
)
# A box of 1 x 3 x 2, y up: its front (z = 2) has a picture, the rest is a plain colour.
SHELF_OBJ = """mtllib shelf.mtl
v 0 0 0
v 1 0 0
v 1 3 0
v 0 3 0
v 0 0 2
v 1 0 2
v 1 3 2
v 0 3 2
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl picture
f 5/1 6/2 7/3 8/4
usemtl plain
f 1 2 3 4
f 1 2 6 5
f 4 3 7 8
f 1 4 8 5
f 2 3 7 6
"""
SHELF_MTL = "newmtl picture\nKd 1 1 1\nmap_Kd front.png\nnewmtl plain\nKd 0.2 0.4 0.6\n"
# Lies on its side: its tip is at z = 5 of the model.
CONE_OBJ = "v 0 0 0\nv 2 0 0\nv 0 2 0\nv 0 0 5\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"


def library(folder, catalogue, files=None):
    path = folder / "made.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        if catalogue is not None:
            text = f"# Made for a test\nid=made\n\n{catalogue}".encode("iso-8859-1")
            archive.writestr("PluginFurnitureCatalog.properties", text)
        for name, content in (shelf_files() if files is None else files).items():
            archive.writestr(f"made/{name}", content)
    return path


def shelf_files():
    front = np.array([[RED, GREEN], [BLUE, MAGENTA]], np.uint8)  # red at the upper left
    png = cv2.imencode(".png", front[..., ::-1])[1].tobytes()
    return {"shelf/shelf.obj": SHELF_OBJ, "shelf/shelf.mtl": SHELF_MTL, "shelf/front.png": png}


def piece(number, name, model, more=""):
    return (
        f"name#{number}={name}\nmodel#{number}=/made/{model}\n"
        f"width#{number}=50\ndepth#{number}=60\nheight#{number}=70\n{more}"
    )


def upright_box(upper, lower):
    """Return a box of 0.6 x 0.6 x 1 m, whose sides have one colour above another."""
    x, y, z = np.meshgrid((-0.3, 0.3), (-0.3, 0.3), (0.0, 1.0), indexing="ij")
    vertices = np.stack((x, y, z), -1).reshape(-1, 3).astype(np.float32)
    sides = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    sides += [(2, 3, 7), (2, 7, 6)]
    uv = np.stack((np.full(8, 0.5), vertices[:, 2] * 0.98 + 0.01), -1).astype(np.float32)
    texture = np.array([[upper, upper], [lower, lower]], np.uint8)
    material = np.zeros(len(sides), np.int64)
    return Thing("box", vertices, np.array(sides), uv, material, (texture,), 0.0)


def picture(thing, number, size=96):
    return render_furnished([thing], size, np.random.default_rng((7, number))).numpy()


def test_a_thing_has_the_size_of_the_catalogue_and_stands_upright(tmp_path):
    (shelf,) = read_library(library(tmp_path, SHELF + "elevation#1=30\n")).things
    assert shelf.name == "Étagère"
    assert shelf.elevation == pytest.approx(0.3)
    np.testing.assert_allclose(shelf.vertices.min(0), (-0.2, -0.1, 0.0), atol=1e-6)
    np.testing.assert_allclose(shelf.vertices.max(0), (0.2, 0.1, 1.0), atol=1e-6)
    assert shelf.radius == pytest.approx(np.hypot(0.2, 0.1))
    assert len(shelf.faces) == 12  # two for each side


def test_the_texture_is_on_the_front_and_upright(tmp_path):
    (shelf,) = read_library(library(tmp_path, SHELF)).things
    sizes = [texture.shape for texture in shelf.textures]
    assert sorted(sizes) == [(1, 1, 3), (2, 2, 3)]
    pictured = sizes.index((2, 2, 3))
    np.testing.assert_array_equal(shelf.textures[pictured], [[RED, GREEN], [BLUE, MAGENTA]])
    np.testing.assert_allclose(shelf.textures[1 - pictured][0, 0], (51, 102, 153), atol=1)
    corners = np.unique(shelf.faces[shelf.material == pictured])
    np.testing.assert_allclose(shelf.vertices[corners, 1], -0.1, atol=1e-6)
    np.testing.assert_allclose(shelf.uv[corners, 0], shelf.vertices[corners, 0] / 0.4 + 0.5)
    np.testing.assert_allclose(shelf.uv[corners, 1], shelf.vertices[corners, 2], atol=1e-6)


def test_a_model_that_lies_is_rotated_before_it_is_scaled(tmp_path):
    catalogue = piece(4, "Cone", "cone.obj", "modelRotation#4=1 0 0 0 0 1 0 -1 0\n")
    (cone,) = read_library(library(tmp_path, catalogue, {"cone.obj": CONE_OBJ})).things
    np.testing.assert_allclose(np.ptp(cone.vertices, axis=0), (0.5, 0.6, 0.7), atol=1e-6)
    tip = cone.vertices[cone.vertices[:, 2] > 0.5]
    # The model's y is up after rotation by -z, and -z is the room's y.
    assert len(np.unique(tip, axis=0)) == 1
    np.testing.assert_allclose(tip[0], (-0.25, -0.3, 0.7), atol=1e-6)
    assert [texture.shape for texture in cone.textures] == [(1, 1, 3)]


def test_people_and_what_is_too_fine_are_left_out_and_counted(tmp_path):
    # People's models are not even there.
    people = piece(2, "Somebody", "none.obj", "category#2=Characters\n")
    people += piece(3, "Mannequin", "none.obj", "category#3=Bedroom\n")
    fine = piece(4, "Lace", "fine.obj") + piece(5, "Cloth", "coarse.obj")
    files = shelf_files()
    for name, faces in (("fine.obj", MOST_FACES + 1), ("coarse.obj", MOST_FACES)):
        files[name] = "v 0 0 0\nv 1 0 0\nv 0 1 1\n" + "f 1 2 3\n" * faces
    read = read_library(library(tmp_path, SHELF + people + fine, files))
    assert [thing.name for thing in read.things] == ["Étagère", "Cloth"]
    assert (read.people, read.too_fine) == (2, 1)


def test_a_picture_depends_on_its_number_only():
    box = upright_box(RED, BLUE)
    first = picture(box, 0)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, picture(box, 0))
    assert not np.array_equal(first, picture(box, 1))


def test_things_are_seen_in_their_colour_and_the_rest_is_the_room():
    sizes = []
    for number in range(12):
        green, magenta = (
            picture(upright_box(colour, colour), number).astype(int) for colour in (GREEN, MAGENTA)
        )
        seen = np.abs(green - magenta).max(-1) > 60  # outside, not even the noise differs
        sizes.append(seen.mean())
        assert (green[seen][:, 1] > green[seen][:, [0, 2]].max(-1)).mean() > 0.9 or not seen.any()
        assert (magenta[seen][:, 1] < magenta[seen][:, [0, 2]].min(-1)).all()
    assert 0.05 < np.mean(sizes) < 0.9


def test_things_stand_upright_in_most_pictures():
    upright = []
    for number in range(16):
        shown = picture(upright_box(RED, BLUE), number).astype(int)
        rows = [
            np.nonzero(shown[..., channel] > shown[..., [1, 2 - channel]].max(-1) + 60)[0]
            for channel in (0, 2)
        ]
        if min(len(row) for row in rows) > 40:
            upright.append(rows[0].mean() < rows[1].mean())
    assert len(upright) > 5
    assert np.mean(upright) > 0.8


def test_the_command_goes_on_where_it_stopped(tmp_path, capsys):
    path, out = library(tmp_path, SHELF), tmp_path / "rooms"
    words = ["furnish", str(path), "--out", str(out), "--size", "64"]
    assert main([*words, "--count", "2"]) == 0
    assert "1 things; left out 0 people" in capsys.readouterr().out
    pictures = sorted(out.glob("*.jpg"))
    assert [file.name for file in pictures] == ["0_00000.jpg", "0_00001.jpg"]
    content = pictures[0].read_bytes()
    assert cv2.imread(str(pictures[0])).shape == (64, 64, 3)
    pictures[0].unlink()
    pictures[1].write_bytes(b"kept")
    assert main([*words, "--count", "3"]) == 0
    assert pictures[0].read_bytes() == content
    assert pictures[1].read_bytes() == b"kept"
    assert main([*words, "--count", "1", "--seed", "1"]) == 0
    assert (out / "1_00000.jpg").read_bytes() != content
    assert len(list(out.glob("*.jpg"))) == 4
    assert not list(out.glob("*.part"))
    assert main([*words, "--size", "32"]) == 1
    assert "was rendered with other options (size;" in capsys.readouterr().err


def test_several_runs_can_begin_in_one_folder_at_a_time(tmp_path):
    with ThreadPoolExecutor(4) as runs:
        list(runs.map(lambda _: keep_options(tmp_path, {"size": 64}), range(200)))
    assert [path.name for path in tmp_path.iterdir()] == ["options.json"]


@pytest.mark.parametrize(
    ("catalogue", "message"),
    [
        (None, "no PluginFurnitureCatalog.properties in it"),
        ("", "no furniture in its PluginFurnitureCatalog.properties"),
        (SHELF.replace("width", "girth"), "expected name, model, width, depth and height of piec"),
        (SHELF + "modelRotation#1=1 0\n", "nine numbers as modelRotation"),
        (SHELF.replace("shelf.obj", "shell.obj"), "no made/shelf/shell.obj in it"),
        (SHELF.replace("shelf.obj", "shelf.mtl"), "no faces in its made/shelf/shelf.mtl"),
    ],
)
def test_a_library_that_lacks_something_is_named(tmp_path, catalogue, message):
    path = library(tmp_path, catalogue)
    with pytest.raises(
        ValueError, match=f"made.sh3f: .*{message}.*; expected a furniture library"
    ):
        read_library(path)


def test_what_is_no_library_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    path = tmp_path / "chair.obj"
    path.write_text(CONE_OBJ)
    words = ["furnish", str(path), "--out", str(tmp_path / "out")]
    assert main([*words, "--size", "8"]) == 1
    assert "expected --size of at least 16 pixels, got 8" in capsys.readouterr().err
    assert main(words) == 1
    assert "chair.obj: File is not a zip file; expected a furniture" in capsys.readouterr().err
    people = library(tmp_path, piece(1, "Girl", "none.obj"))
    assert main(["furnish", str(people), *words[2:]]) == 1
    assert "got 0 things; left out 1 people" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "trimesh", None)
    assert main(words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pandapose furnish: furnishing needs trimesh and Pillow")
    assert error.endswith("pip install -r requirements-train.txt")
    assert not (tmp_path / "out").exists()
