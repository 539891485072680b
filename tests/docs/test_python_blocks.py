# SPDX-License-Identifier: Apache-2.0
"""Python in the documents is Python, and takes names of ours from where they are; JSON is JSON."""

import ast
import json

import pytest
from doc_blocks import ROOT, Block, blocks, documents

FOUND = [block for page in documents() for block in blocks(page)]


@pytest.mark.parametrize("block", [b for b in FOUND if b.language == "python"], ids=lambda block: block.place)
def test_imports_lead_somewhere(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in {"models", "service"}:
            known = names_of(str(node.module))
            assert {alias.name for alias in node.names} <= known, node.module


def names_of(module: str) -> set[str]:
    """What a module of ours defines or takes in, and the modules within it."""
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names | {path.stem for path in place.glob("*.py")}


def test_json_is_json() -> None:
    for block in FOUND:
        if block.language == "json":
            json.loads(block.text)


def test_a_name_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match=r"models\.ensemble"):
        test_imports_lead_somewhere(Block("here", 1, "python", "", "from models.ensemble import nothing_of_that_name"))
