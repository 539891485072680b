# SPDX-License-Identifier: Apache-2.0
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from fakes import CT, ct_dataset, incoming
from service.domain.errors import ConfigurationError, OutOfSpaceError
from service.domain.implementation import IMPLEMENTATION_CLASS_UID
from service.ports import ArrivedFile
from service.storage import DataFolder, FileStore, FolderLock, open_folder, site_key
from service.storage.folder import lock_owner

WRITE_AND_KEEP = """
import sys
from pathlib import Path
from fakes import ct_dataset, incoming
from service.storage import FileStore, open_folder
sent = incoming(ct_dataset(1, 1))
store = FileStore(open_folder(Path(sys.argv[1])), reserve_bytes=0)
print("START", flush=True)
store.keep(store.write(sop_class_uid=sent.sop_class_uid, sop_instance_uid=sent.sop_instance_uid,
                       transfer_syntax_uid=sent.transfer_syntax_uid, dataset=sent.dataset))
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return open_folder(tmp_path / "data")


@pytest.fixture
def store(folder: DataFolder) -> FileStore:
    return FileStore(folder, reserve_bytes=0)


def write(store: FileStore, *, pixel: int = 0) -> ArrivedFile:
    sent = incoming(ct_dataset(1, 1, pixel=pixel))
    return store.write(
        sop_class_uid=sent.sop_class_uid,
        sop_instance_uid=sent.sop_instance_uid,
        transfer_syntax_uid=sent.transfer_syntax_uid,
        dataset=sent.dataset,
    )


def test_a_kept_file_is_a_dicom_file_with_our_own_meta_information(store: FileStore, folder: DataFolder) -> None:
    path = store.keep(write(store))
    dataset = pydicom.dcmread(path)
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert dataset.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert (dataset.file_meta.MediaStorageSOPClassUID, dataset.PatientID) == (CT, "P1")
    assert path.parent.parent == folder.instances
    assert not list(folder.incoming.iterdir())


def test_names_hold_no_dicom_text(store: FileStore) -> None:
    path = store.keep(write(store))
    assert len(path.stem) == 64
    assert set(path.stem) <= set("0123456789abcdef")


def test_the_same_bytes_get_the_same_name_and_others_another(store: FileStore) -> None:
    first, same, other = write(store), write(store), write(store, pixel=1)
    assert (first.name, first.sha256) == (same.name, same.sha256)
    assert other.name != first.name


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_file_and_folder_are_flushed_around_the_rename(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["strace", "-f", "-o", str(trace), "-e", "trace=write,fsync,rename,renameat2", sys.executable, "-c"]
    subprocess.run([*command, WRITE_AND_KEEP, str(tmp_path / "data")], env=environment, check=True, capture_output=True)
    calls = trace.read_text().partition("START")[2]
    names = [line.split("(")[0].split()[-1] for line in calls.splitlines()[1:] if "(" in line]
    kept = [name for name in names if name in {"fsync", "rename", "renameat2"}]
    assert kept == ["fsync", "rename", "fsync"]
    assert names.index("write") < names.index("fsync")


def test_below_the_reserve_nothing_is_read(folder: DataFolder) -> None:
    def untouched() -> Iterator[bytes]:
        raise AssertionError("the data set was read")
        yield b""

    store = FileStore(folder, reserve_bytes=1 << 60)
    with pytest.raises(OutOfSpaceError, match="reserve_bytes"):
        store.write(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax_uid="1.2", dataset=untouched())


def broken(error: Exception) -> Iterator[bytes]:
    yield b"half"
    raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "of a reader, not of our disk"), ConnectionResetError()])
def test_a_peer_that_breaks_off_leaves_nothing(store: FileStore, folder: DataFolder, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        store.write(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax_uid="1.2", dataset=broken(error))
    assert raised.value is error
    assert not list(folder.incoming.iterdir())


def test_partial_files_of_an_earlier_life_are_removed(store: FileStore, folder: DataFolder) -> None:
    (folder.incoming / "x.part").write_bytes(b"torn")
    assert store.remove_partial() == 1
    assert not list(folder.incoming.iterdir())


def test_each_member_writes_in_a_folder_of_its_own_and_clears_only_that(tmp_path: Path) -> None:
    mine, other = open_folder(tmp_path, member="a"), open_folder(tmp_path, member="b")
    for place in (mine, other):
        (place.incoming / "x.part").write_bytes(b"torn")
    assert FileStore(mine, reserve_bytes=0).remove_partial() == 1
    assert not list(mine.incoming.iterdir())
    assert list(other.incoming.iterdir())


def test_what_members_left_that_are_gone_is_cleared_when_it_is_old(tmp_path: Path) -> None:
    leader, gone, present = (open_folder(tmp_path, member=name) for name in ("a", "gone", "b"))
    for place in (gone, present):
        (place.incoming / "x.part").write_bytes(b"torn")
    withdrawn = leader.results / "job.deleting"
    withdrawn.mkdir()
    store = FileStore(leader, reserve_bytes=0)
    assert store.remove_left(present={"a", "b"}, grace_seconds=3600) == 0
    assert gone.incoming.exists()
    assert withdrawn.exists()
    assert store.remove_left(present={"a", "b"}, grace_seconds=0) == 1
    assert not gone.incoming.exists()
    assert not withdrawn.exists()
    assert (present.incoming / "x.part").exists()


def test_a_name_that_comes_back_is_not_taken_for_gone(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, member="b")
    time.sleep(0.3)
    open_folder(tmp_path, member="b")
    store = FileStore(open_folder(tmp_path, member="a"), reserve_bytes=0)
    assert store.remove_left(present={"a"}, grace_seconds=0.2) == 0
    assert folder.incoming.exists()


def test_a_folder_has_one_node(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(ConfigurationError, match="in use by another node"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_lock_names_its_process(tmp_path: Path) -> None:
    assert lock_owner(tmp_path) is None
    lock = FolderLock(tmp_path)
    assert lock_owner(tmp_path) == os.getpid()
    with pytest.raises(ConfigurationError):
        FolderLock(tmp_path)
    assert lock_owner(tmp_path) == os.getpid()  # a second node that was refused has not wiped it out
    lock.release()
    assert lock_owner(tmp_path) is None


def test_the_site_key_stays(tmp_path: Path) -> None:
    key = site_key(tmp_path)
    assert len(key) == 32
    assert site_key(tmp_path) == key
    assert (tmp_path / "site.key").stat().st_mode & 0o077 == 0
