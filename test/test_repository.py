# What no reader of one file can see: layers, sizes, and that the papers tell the truth.
import ast
import importlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

# Python 3.10 has it from pytest, under its first name.
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pandapose_ros"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LIMITED = [
    *SOURCES,
    ROOT / "setup.py",
    *(
        file
        for folder in ("test", "launch", "benchmark", "examples")
        for file in (ROOT / folder).glob("*.py")
    ),
]
FILE_LINES, FUNCTION_LINES = 300, 50
# Which wheel, or which Debian package, holds a module whose name differs.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "yaml": "PyYAML",
    "ai_edge_litert": "ai-edge-litert",
    "tf2_ros": "tf2_ros_py",  # the package tf2_ros is the C++ one, and does not bring it
}
# Folders of the core, each of which uses only those before it.
LEARNING = ("data", "synthetic", "training", "evaluation")
# Taken when they are there, and what for is said where they are not.
OPTIONAL = {
    "PIL",
    "anny",
    "cv_bridge",
    "foxglove_msgs",
    "hri_msgs",
    "matplotlib",
    "trimesh",
    "viser",
    "vision_msgs",
    "yolo_msgs",
}


def layer(file):
    folder = file.relative_to(PACKAGE).parts[0]
    return folder if folder in ("node", "tools") else "core"


def name(file):
    return str(file.relative_to(ROOT))


def imports(file):
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return modules


def ros_packages():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    return {element.text for tag in ("depend", "exec_depend") for element in manifest.iter(tag)}


def ros_modules():
    return {package for package in ros_packages() if not package.startswith("python3-")}


def requirements(file):
    lines = (ROOT / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_imports_keep_to_their_layer(file):
    forbidden = {
        "core": {"pandapose_ros.node", "pandapose_ros.tools", "pandapose_ros.msg"} | ros_modules(),
        "node": {"pandapose_ros.tools"},
        "tools": {"pandapose_ros.node", "pandapose_ros.msg"} | ros_modules(),
    }[layer(file)]
    if file.parent.name in LEARNING:
        later = LEARNING[LEARNING.index(file.parent.name) + 1 :]
        forbidden |= {f"pandapose_ros.{folder}" for folder in later}
    for module in imports(file):
        parts = module.split(".")
        assert not {".".join(parts[:depth]) for depth in (1, 2)} & forbidden, module


def test_core_and_tools_import_without_ros():
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in SOURCES
        if layer(file) != "node" and file.name != "__init__.py"
    ]
    blocked = sorted(
        ros_modules()
        | {"pandapose_ros.msg", "pandapose_ros.node", "anny", "matplotlib", "trimesh"}
    )
    code = (
        f"import importlib, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"sys.modules.update(dict.fromkeys({blocked}))\n"
        f"for module in {modules}: importlib.import_module(module)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_what_is_imported_is_required(file):
    lines = requirements("requirements.txt") + requirements("requirements-python.txt")
    packages = {re.split(r"[=<>\[]", line)[0] for line in lines}
    modules = {module.split(".")[0] for module in imports(file)} - OPTIONAL
    for module in modules - set(sys.stdlib_module_names) - {"pandapose_ros"}:
        distribution = DISTRIBUTIONS.get(module, module)
        if layer(file) == "node" and distribution not in packages:
            assert distribution in ros_packages(), f"package.xml lacks {distribution}"
        else:
            assert distribution in packages, f"requirements.txt lacks {distribution}"


@pytest.mark.parametrize("file", sorted(ROOT.glob("test/*.py")), ids=name)
def test_what_tests_import_is_required(file):
    lines = [line for path in ROOT.glob("requirements*.txt") for line in requirements(path)]
    packages = {re.split(r"[=<>\[]", line)[0] for line in lines}
    packages |= {path.stem for path in ROOT.glob("test/*.py")}
    packages |= {"pandapose_ros", "pip", *sys.stdlib_module_names, *OPTIONAL, *ros_packages()}
    for module in {module.split(".")[0] for module in imports(file)}:
        assert DISTRIBUTIONS.get(module, module) in packages, f"requirements lack {module}"


@pytest.mark.parametrize("file", LIMITED, ids=name)
def test_files_and_functions_are_short(file):
    text = file.read_text()
    assert len(text.splitlines()) < FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines < FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_build_requirements_are_given_twice_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["requires"] == requirements("requirements-build.txt")


def test_ros_wheels_are_pinned_exactly():
    pins = {}
    for file in ("requirements.txt", "requirements-build.txt"):
        for line in requirements(file):
            if line.startswith("ros-"):
                distribution, version = line.split("==")
                assert pins.setdefault(distribution, version) == version
    assert len(pins) > 10


def test_version_is_that_of_the_last_change():
    version = ElementTree.parse(ROOT / "package.xml").findtext("version")
    changes = (ROOT / "CHANGELOG.rst").read_text()
    headings = re.findall(
        r"^(Forthcoming|(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\))\n-+$", changes, re.M
    )
    released = [number for _, number in headings if number]
    assert headings
    # Before the first release the manifest names the version to come.
    assert not released or released[0] == version
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_message_is_built():
    listed = re.findall(r'"msg/(\w+)\.msg"', (ROOT / "CMakeLists.txt").read_text())
    assert listed == sorted(file.stem for file in (ROOT / "msg").glob("*.msg"))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documented_commands_exist(document):
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"^\s*(?:\w+=\S+ )*make ([a-z]\w*)|`make ([a-z]\w*)", text, re.M))
    named = {first or second for first, second in named}
    assert named
    assert named <= targets
    commands = set(
        re.findall(r"\bpandapose (?!COMMAND)([a-z]+(?:-[a-z]+)*)(?= +[A-Z-]| *`| *$)", text, re.M)
    )
    listing = subprocess.run(
        [sys.executable, "-m", "pandapose_ros.tools.main", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert commands <= set(re.findall(r"^  ([a-z-]+) ", listing, re.M))


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_documented_files_exist(document):
    text = (ROOT / document).read_text()
    # Slashes make a path; what is made by running (demo/) and topics (~/) are not files here.
    folders = {path.name for path in ROOT.iterdir()} - {"demo", "build"}
    paths = re.findall(r"[`(]([\w.-]+/[\w./-]*)[`)]", text)
    for path in paths:
        if path.split("/")[0] in folders:
            message = ROOT / "msg" / f"{path.split('/')[1]}.msg"  # or the name of a type
            assert (ROOT / path).exists() or message.exists(), path


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^):#\s]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", ["tools", "training", "training_history", "ros"])
def test_documented_options_exist(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    files = [*ROOT.glob("launch/*.py"), *PACKAGE.glob("tools/*.py"), *PACKAGE.glob("config/*.py")]
    sources = "".join(file.read_text() for file in files)
    of_others = {"--help", "--show-args", "--nproc-per-node", "--rm", "--net", "--ipc", "--user"}
    options = set(re.findall(r"[`\s](--[a-z][\w-]+)|`(\w+):=", text)) - {
        (o, "") for o in of_others
    }
    assert options
    for option, argument in options:
        field = option.lstrip("-").replace("-", "_")  # options of train are fields
        assert f'"{option or argument}"' in sources or f"    {field}: " in sources, option


def test_package_is_light():
    # Of a wheel's 60 MB limit; what cannot be compressed is most of it.
    size = sum(file.stat().st_size for file in PACKAGE.rglob("*") if file.suffix != ".pyc")
    assert size < 55e6
