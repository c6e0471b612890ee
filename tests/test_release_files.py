"""The files for releases and for the hosting of the repository are valid and agree."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["build-system"]
SCHEMAS = {
    "github-workflows": sorted(GITHUB.glob("workflows/*.yml")),
    "github-issue-forms": [
        GITHUB / "ISSUE_TEMPLATE" / f"{kind}.yml" for kind in ("bug", "feature")
    ],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
}
REQUIREMENT = re.compile(r"^([\w-]+)\s*(>=[\d.]+)$")
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file. YAML 1.1 reads the key `on` of a workflow as true."""
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_hosting_files_match_their_schema(schema: str) -> None:
    pytest.importorskip("check_jsonschema")
    jsonschema = pytest.importorskip("jsonschema")
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    content = json.loads((folder / f"{schema}.json").read_text("utf-8"))
    validator = jsonschema.validators.validator_for(content)(content)
    for path in SCHEMAS[schema]:
        validator.validate(load(path))


def test_matrix_classifiers_and_requirement_name_the_same_python_versions() -> None:
    matrix = load(GITHUB / "workflows" / "test.yml")["jobs"]["latest"]["strategy"]["matrix"]
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)$")
    classified = [found[1] for text in PROJECT["classifiers"] if (found := pattern.match(text))]
    assert matrix["python"] == classified
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_conda_recipe_has_the_same_requirements() -> None:
    recipe = load(ROOT / "docs" / "release" / "recipe.yaml")
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert recipe["context"]["version"] == newest[1]
    host = set(recipe["requirements"]["host"])
    assert {re.sub(r"(>=)", r" \1", text) for text in BUILD["requires"]} <= host
    expected = {}
    for text in PROJECT["dependencies"]:
        found = REQUIREMENT.match(text)
        assert found, text
        expected[CONDA_NAMES.get(found[1], found[1])] = found[2]
    run = [text for text in recipe["requirements"]["run"] if not text.startswith("python ")]
    assert dict(text.split() for text in run) == expected
