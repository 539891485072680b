# SPDX-License-Identifier: Apache-2.0
"""A configuration that was damaged, or made to harm: refused at once, with its line and what to do."""

import os
import time
from pathlib import Path

import pytest

from service.settings import SettingsError, load_settings
from service.settings.loader import MAX_PROBLEMS

LEVELS, VALUES = "more than 32 levels within each other; is it the right file?", "more than 20000 values"


def refused(path: Path, content: bytes) -> str:
    """What is said of a file with this content; it takes no time."""
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert time.monotonic() - started < 20, "a refusal takes a second; the bombs took minutes"
    return str(caught.value.problems[0])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


CASES = {
    "bomb of aliases": (b"node: {}\nrules: &a [1, 1]\npeers: [*a, *a, *a]\n", "line 3", "write the value out"),
    "merge key": (b"node: {<<: {port: 104}}\n", "line 1", "node.<<: unknown key"),
    "tag of Python": (b"node: {}\nhttp: !!python/object/apply:os.system [id]\n", "line 2", "remove it"),
    "tag of its own": (b"node: !thing {port: 104}\n", "line 1", "tags ('!thing') are not accepted; remove it"),
    "tag that hides a number": (b"node:\n  port: !!binary MTA0\n", "line 2", "are not accepted; remove it"),
    "key twice": (b"node:\n  port: 104\n  port: 11112\n", "line 3", "key 'port' is given twice; remove one"),
    "key twice, once in quotes": (b"node:\n  port: 104\n  'port': 11112\n", "line 3", "given twice; remove one"),
    "key twice in a list": (b"peers:\n  - {name: a,\n     name: b}\n", "line 3", "key 'name' is given twice"),
    "unknown key": (b"http: {}\nnod: {}\n", "line 2", "did you mean 'node'? known here: audit"),
    "key that is a list": (b"node: {}\n? [a, b]\n: 1\n", "line 2", "key is no word"),
    "key that is a number": (b"node: {}\n1: 2\n", "line 2", "key '1' is no word"),
    "key that is nothing": (b"node: {}\n~: 2\n", "line 2", "key '~' is no word"),
    "NUL": (b"node:\n  ae_title: A\0B\n", "line 2", "U+0000 cannot stand in a text file; remove it"),
    "escape sequence": (b"node: {}\n# \x1b[2J\n", "line 2", "U+001B cannot stand in a text file; remove it"),
    "NUL in disguise": (b'storage:\n  folder: "/srv\\0/etc"\n', "line 2", "invisible character U+0000; remove it"),
    "line break in disguise": (b'storage:\n  folder: "/srv\\n/etc"\n', "line 2", "keep a value on one line"),
    "right to left": ("node:\n  ae_title: 'A\u202eB'\n".encode(), "line 2", "invisible character U+202E; remove it"),
    "byte order mark within": ("node: {}\n\ufeffhttp: {}\n".encode(), "line 2", "U+FEFF"),
    "half a surrogate": (b'node:\n  ae_title: "\\ud800"\n', "line 2", "invisible character U+D800"),
    "UTF-16": ("node: {}\n".encode("utf-16"), "line 1", "byte 0xFF is not UTF-8; save the file as UTF-8"),
    "Latin-1": (b"node: {}\naudit: {enterprise_site_id: 'Caf\xe9'}\n", "line 2", "byte 0xE9 is not UTF-8; save"),
    "Shift-JIS": ("node: {}\n# 放射線\n".encode("shift-jis"), "line 2", "is not UTF-8; save the file as UTF-8"),
    "tab": (b"node:\n\tport: 104\n", "line 2", "indent with blanks, tabs are not accepted"),
    "tab after a key": (b"node:\n  port:\t104\n", "line 2", "indent with blanks, tabs are not accepted"),
    "lists in lists": (b"node: {}\nrules: " + b"[" * 100_000, "line 2", LEVELS),
    "sections in sections": (b"node: " + b"{a: " * 3_000 + b"1" + b"}" * 3_000, "line 1", LEVELS),
    "ladder": (b"".join(b" " * depth + b"a:\n" for depth in range(1_200)), "line 32", LEVELS),
    "conditions in conditions": (
        b"rules:\n  - name: r\n    pipelines: [mammography]\n    when: " + b"{not: " * 500 + b"{}" + b"}" * 500,
        "line 4",
        LEVELS,
    ),
    "keys without number": (b"".join(b"k%d: 1\n" % number for number in range(80_000)), "line 10000", VALUES),
    "values without number": (b"node: {}\npeers: [" + b"1," * 400_000 + b"1]\n", "line 2", VALUES),
    "port of sixty": (b"node:\n  port: 3:05:12\n", "line 2", "value '3:05:12' is not accepted"),
    "port of five thousand digits": (b"node: {}\nhttp:\n  port: " + b"9" * 5_000 + b"\n", "line 3", "is not accepted"),
    "half a number": (b"node:\n  port: 0x_\n", "line 2", "value '0x_' is not accepted"),
    "day that is none": (b"node:\n  port: 2020-13-45\n", "line 2", "value '2020-13-45' is not accepted"),
    "endless time": (b"node:\n  idle_seconds: .inf\n", "line 2", "value '.inf' is not accepted"),
    "no number": (b"node:\n  idle_seconds: .nan\n", "line 2", "value '.nan' is not accepted"),
    "two documents": (b"node: {}\n---\nnode: {}\n", "line 2", "found another document"),
    "long value": (b"node:\n  ae_title: " + b"A" * 900_000 + b"\n", "line 2", "AAAA... is not accepted: an AE title"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_harms_is_refused_with_its_line_and_a_remedy(config: Path, name: str) -> None:
    content, line, words = CASES[name]
    problem = refused(config, content)
    assert problem.startswith(f"{line}: "), problem
    assert words in problem
    assert len(problem) < 500


def test_ten_megabytes_are_not_read(config: Path) -> None:
    assert "larger than 1000000 bytes; is it the right one?" in refused(config, b"#" * 10_000_000)


def test_more_problems_than_anybody_reads_are_counted(config: Path) -> None:
    config.write_bytes(b"peers:\n" + b"  - {naem: a}\n" * 1_000)
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert str(caught.value.problems[-1]) == "and 2900 more; correct these first"


def test_a_byte_order_mark_at_the_beginning_is_no_harm(config: Path) -> None:
    """YAML 1.2 section 5.2 allows it, and editors of Windows write it."""
    config.write_bytes(b"\xef\xbb\xbfnode: {port: 104}\n")
    assert load_settings(config).node.port == 104


def test_a_number_is_read_as_people_read_it(config: Path) -> None:
    """Eight to YAML 1.1: a leading zero made it octal."""
    config.write_bytes(b"node: {port: 010}\nclose: {quiet_seconds: 1.5}\n")
    settings = load_settings(config)
    assert (settings.node.port, settings.close.quiet_seconds) == (10, 1.5)


@pytest.mark.parametrize("made", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_not_opened(tmp_path: Path, made: str) -> None:
    """A pipe would wait for ever, and /dev/zero never ends."""
    path = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/zero")}[made]
    if made == "pipe":
        os.mkfifo(path)
    with pytest.raises(SettingsError, match="is no plain file; name the file itself"):
        load_settings(path)


def test_a_file_that_everybody_may_change_is_refused(config: Path) -> None:
    """Whoever writes it says where patients' images go."""
    config.write_text("node: {}\n")
    config.chmod(0o646)
    with pytest.raises(SettingsError, match=r"everybody on this machine may change it; chmod 0640 .*config\.yaml"):
        load_settings(config)
