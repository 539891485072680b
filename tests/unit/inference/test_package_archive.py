# SPDX-License-Identifier: Apache-2.0
"""A package as one file: the same bytes everywhere, and the same package as the folder."""

import hashlib
import shutil
import zipfile
from pathlib import Path

from hostile_packages import contents

from service.inference.archive import read_archive, write_archive
from service.inference.package import load_package


def test_the_same_files_give_the_same_bytes(tiny_folder: Path) -> None:
    files = contents(tiny_folder)
    assert write_archive(files) == write_archive(dict(reversed(files.items())))


def test_the_bytes_are_these_on_every_machine() -> None:
    """A digest taken once: it changes with the format alone, never with the machine, the time or a library."""
    data = write_archive({"manifest.yaml": b"name: x\n", "golden/a.npz": bytes(range(256))})
    assert hashlib.sha256(data).hexdigest() == "356dc5e9599d7eb6b88c71cf257fa59b2521bbbe44dc89f3362727442c11e3dc"


def test_an_archive_is_the_same_package_as_its_folder(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.cadpkg"
    path.write_bytes(write_archive(contents(tiny_folder)))
    assert load_package(path).identity == load_package(tiny_folder).identity


def test_an_archive_that_another_program_made_is_read(tiny_folder: Path, tmp_path: Path) -> None:
    """Compressed, with dates of its own, without entries for folders."""
    path = tmp_path / "tiny.cadpkg"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents(tiny_folder).items():
            archive.writestr(name, data)
    assert read_archive(path) == contents(tiny_folder)
    assert load_package(path).identity == load_package(tiny_folder).identity


def test_a_folder_may_have_any_place_but_not_another_name(tiny_folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_folder, tmp_path / "elsewhere" / "tiny" / "0.1.0")
    assert load_package(Path(moved)).identity == load_package(tiny_folder).identity
