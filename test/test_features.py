# What docs/features.md claims: features with tests that exist, and links that lead somewhere.
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "features.md"
TEXT = PAGE.read_text()
TABLES = ("Input and execution", "Output", "Parameters, packaging, proof")
NAMED = re.compile(r"\[`(\w+)::(\w+)`\]\(([^)]+)\)")


def rows(heading):
    """The cells of each row under a heading, without the table's head."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def functions_of(path):
    return {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}


def test_every_test_that_is_named_exists():
    named = set(NAMED.findall(TEXT))
    assert len(named) > 50
    for file, function, link in sorted(named):
        assert link == f"../test/{file}.py"
        assert function.startswith("test_")
        assert function in functions_of(ROOT / "test" / f"{file}.py"), f"{file}::{function}"
    # None is named in a way that is not checked.
    assert len(re.findall(r"\w::\w", TEXT)) == len(NAMED.findall(TEXT))


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        path, _, _ = link.partition("#")
        assert (PAGE.parent / path).resolve().is_relative_to(ROOT.resolve()), link
        assert (PAGE.parent / path).is_file(), link


@pytest.mark.parametrize("heading", TABLES)
def test_whatever_is_said_to_work_has_a_test_or_a_command(heading):
    assert len(rows(heading)) > 10
    for feature, here, what, shown, *others in rows(heading):
        assert here in ("yes", "no", "partly"), feature
        assert what, feature
        assert here == "no" or NAMED.search(shown) or re.fullmatch(r"`.+`.*", shown), feature
        assert here != "no" or not shown, feature
        assert len(others) == 4, feature
        assert set(others) <= {"yes", "no", "partly", "-"}, feature
