# SPDX-License-Identifier: Apache-2.0
"""What a folder is that was given as a backup and is none: what lies there, what was expected and what to do."""

from pathlib import Path

from service.storage.sqlite import DATABASE_FILE

MANIFEST = "manifest.json"
DATA = "data"
UNFINISHED = ".partial"
SHOWN = 5


def why_no_backup(folder: Path, error: OSError) -> str:
    """Return the sentence for a folder whose manifest cannot be opened."""
    expected = f"a backup is the folder that `dokuei backup` was given, with {MANIFEST} and {DATA}/ in it"
    try:
        return f"'{folder}' is no backup: {_nature(folder, error)}; {expected}; {_remedy(folder)}"
    except OSError as second:
        return f"'{folder}' cannot be looked into ({second.strerror}); {expected}; run this as who may read it"


def _nature(folder: Path, error: OSError) -> str:  # noqa: PLR0911 - one for each thing that it can be
    if not folder.exists():
        return "it does not exist"
    if not folder.is_dir():
        return "it is a file"
    if (folder / MANIFEST).exists():
        return f"its {MANIFEST} cannot be opened ({error.strerror})"
    if folder.name.endswith(UNFINISHED):
        return "it is one that was not finished"
    if (folder / DATABASE_FILE).exists():
        return f"it is a data folder, for {DATABASE_FILE} lies in it"
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "it is empty"
    return f"it has no {MANIFEST}, but {', '.join(names[:SHOWN])}{' ...' * (len(names) > SHOWN)}"


def _remedy(folder: Path) -> str:
    """Name the backups that lie near, newest first: in the folder, beside it or around it."""
    around = [*folder.absolute().parents[:2], *folder.glob("*/"), *folder.parent.glob("*/")]
    near = {place.absolute() for place in around if (place / MANIFEST).is_file() and place.suffix != UNFINISHED}
    newest = sorted(near, key=lambda place: (place / MANIFEST).stat().st_mtime, reverse=True)[:SHOWN]
    return f"name one of these: {', '.join(map(str, newest))}" if newest else "name such a folder"
