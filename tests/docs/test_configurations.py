# SPDX-License-Identifier: Apache-2.0
"""Every snippet of YAML in the documents is part of a config.yaml that the node would accept, or says what it is."""

import re
from typing import Any

import pytest
import yaml
from doc_blocks import Block, blocks, documents
from doc_table import table

from service.settings import SettingsError, parse_settings
from service.settings.plain_yaml import PlainLoader
from service.settings.schema import DEFAULT_PIPELINES

YAML = [block for page in documents() for block in blocks(page) if block.language in {"yaml", "yml"}]
OTHER = {tag: why for tag, why in table()["yaml"].items() if tag != "instead"}
PEER = {"name": "someone", "ae_title": "SOMEONE", "address": "10.0.0.9"}
DESTINATION = {"name": "somewhere", "ae_title": "SOMEWHERE", "host": "10.0.0.9", "port": 104}


def whole(text: str) -> str:
    """The snippet as a whole config.yaml: what it leaves out of a peer or a destination is put in."""
    for told, meant in table()["yaml"]["instead"].items():
        text = text.replace(told, meant)
    document: dict[str, Any] = yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader that refuses more
    for section, entry in (("peers", PEER), ("destinations", DESTINATION)):
        document[section] = [complete(item, entry) for item in document.get(section, [])]
    document["pipelines"] = {**DEFAULT_PIPELINES, **document.get("pipelines", {})}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def complete(item: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Put in what is left out; only name and address where the item has another form than an AE title."""
    other_form = {"url", "token_file", "certificate_name", "certificate_sha256"} & set(item)
    return {**{key: entry[key] for key in entry if not other_form or key in {"name", "address"}}, **item}


def ours(tag: str) -> bool:
    return tag == ""


@pytest.mark.parametrize("block", [block for block in YAML if ours(block.tag)], ids=lambda block: block.place)
def test_a_snippet_is_accepted_by_the_node(block: Block) -> None:
    try:
        parse_settings(whole(block.text), source=block.place)
    except SettingsError as error:
        pytest.fail(f"{error}\n(write ```yaml WORD, a word of tests/docs/commands.toml, where it is no config.yaml)")


@pytest.mark.parametrize("block", [block for block in YAML if not ours(block.tag)], ids=lambda block: block.place)
def test_yaml_of_others_is_yaml_and_says_whose(block: Block) -> None:
    assert block.tag in OTHER, f"{block.place}: {block.tag!r}; one of {sorted(OTHER)}"
    template = re.search(r"\{\{|<[A-Z-]+>", block.text)
    assert template or list(yaml.safe_load_all(block.text))


def test_there_are_snippets_of_ours() -> None:
    assert len([block for block in YAML if ours(block.tag)]) >= 10


def test_a_key_that_is_not_there_is_found() -> None:
    with pytest.raises(SettingsError, match="unknown key"):
        parse_settings(whole("destinations:\n  - {name: pacs, objekts: [sr]}\n"))
