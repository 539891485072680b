# SPDX-License-Identifier: Apache-2.0
"""Nothing in our code runs what it reads, hands text to a shell, or lets a sender choose a path (CI runs this)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from forbidden import RULES, findings

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "service").rglob("*.py")) + sorted((ROOT / "models").rglob("*.py"))
CHECKED_PATHS = {
    ("service/transport/archive_scp.py", "self._folder / f'{incoming.sop_instance_uid}.dcm'"): "matched against the "
    "grammar of UIDs two lines before; tests/unit/transport/test_archive.py",
    ("service/results/object/part10.py", "folder / f'{dataset.SOPInstanceUID}.dcm'"): "a UID of ours, of a result",
    ("service/workflow/supersession.py", "parts.store.result_folder(job.key) / 'objects' / f'{uid}.dcm'"): "ours too",
    ("models/recipes/diffuse_lung_evaluation.py", "Path(uid)"): "a phantom in memory; no file is opened",
}
"""The places where a UID does name a file, and why that is no sender's choice."""
EXCUSED = {
    ("service/bootstrap/self_test.py", "S104"),
    ("service/bootstrap/self_test.py", "S310"),
    ("service/storage/database.py", "S608"),
    ("service/inference/strict_yaml.py", "S506"),
    ("service/storage/postgresql.py", "S608"),
    ("service/transport/store_scp.py", "S101"),
    ("service/settings/schema.py", "S104"),
}
"""Every `noqa` of a security rule in the node; each says why beside it."""

SAMPLES = {
    "serialised objects": (
        "import pickle\npickle.loads(data)",
        "from pickle import loads",
        "import joblib\njoblib.load(f)",
    ),
    "torch.load without weights_only": ("torch.load(path)", "torch.load(path, weights_only=False)"),
    "numpy.load with pickle": ("np.load(path)", "np.load(path, allow_pickle=True)"),
    "yaml.load with a loader that is not safe": ("yaml.load(text, Loader=yaml.Loader)", "yaml.unsafe_load(text)"),
    "code from text": ("eval(text)", "exec(text)", "compile(text, 'x', 'exec')"),
    "a shell": ("os.system(command)", "subprocess.run(command, shell=True)"),
    "a program and its arguments in one string": (
        "subprocess.run(f'dciodvfy {path}')",
        "subprocess.Popen('dciodvfy %s' % path)",
        "subprocess.run(' '.join(command))",
    ),
    "a temporary name that races": ("tempfile.mktemp()",),
    "os.path.join": ("os.path.join(folder, dataset.PatientID)",),
    "a path made of a DICOM value": (
        "folder / dataset.StudyInstanceUID",
        "self._root / f'{sop_instance_uid}.dcm'",
        "folder.joinpath(str(header.PatientID))",
        "Path(dataset.PatientName)",
    ),
    "a data set in a log": (
        "logger.debug('received %s', dataset)",
        "self._logger.info('of %s', header.PatientID)",
        "logging.warning(f'{ds}')",
    ),
    "an address out of a data set": ("fetch(dataset.RetrieveURL)", "dataset['RetrieveURI'].value"),
}
ALLOWED = (
    "np.load(path, allow_pickle=False)",
    "torch.load(path, weights_only=True)",
    "yaml.load(text, Loader=_PlainLoader)",
    "subprocess.run([program, '--', path])",
    "millimetres / dataset.Rows",
    "logger.error('observer %s fails', observer)",
    "except_ = pickle.UnpicklingError",
)
RUFF = {
    "S301": "import pickle\npickle.loads(b'')\n",
    "S102": "exec('x')\n",
    "S307": "eval('x')\n",
    "S306": "import tempfile\ntempfile.mktemp()\n",
    "S310": "import urllib.request\nurllib.request.urlopen(address)\n",
    "S324": "import hashlib\nhashlib.md5(b'')\n",
    "S501": "import requests\nrequests.get('https://a', verify=False, timeout=1)\n",
    "S506": "import yaml\nyaml.load('', Loader=yaml.Loader)\n",
    "S602": "import subprocess\nsubprocess.run('ls ' + name, shell=True)\n",
    "S605": "import os\nos.system('ls ' + name)\n",
    "S608": "sql = f'SELECT * FROM study WHERE uid = {uid}'\n",
    "T201": "print(dataset)\n",
}


def test_every_rule_has_a_sample() -> None:
    assert set(SAMPLES) == set(RULES)


@pytest.mark.parametrize(("rule", "sample"), [(rule, sample) for rule, found in SAMPLES.items() for sample in found])
def test_a_rule_finds_its_samples(rule: str, sample: str) -> None:
    assert rule in {name for name, _, _ in findings(sample)}


@pytest.mark.parametrize("sample", ALLOWED)
def test_what_is_allowed_is_not_found(sample: str) -> None:
    assert list(findings(sample)) == []


def test_our_code_says_nothing_of_it() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {rule}: {statement}"
        for path in SOURCES
        for rule, line, statement in findings(path.read_text())
        if (str(path.relative_to(ROOT)), statement) not in CHECKED_PATHS
    ]
    assert len(SOURCES) > 200
    assert found == []


def test_the_exceptions_are_still_there() -> None:
    for file, statement in CHECKED_PATHS:
        assert statement in {found for _, _, found in findings((ROOT / file).read_text())}, f"{file}: {statement}"


def test_no_security_rule_is_switched_off_in_the_node_but_those_listed() -> None:
    excused = {
        (str(path.relative_to(ROOT)), rule)
        for path in (ROOT / "service").rglob("*.py")
        for codes in re.findall(r"noqa: ([A-Z0-9, ]+)", path.read_text())
        for rule in re.findall(r"\bS\d{3}\b", codes)
    }
    assert excused == EXCUSED


@pytest.mark.parametrize("rule", RUFF)
def test_ruff_refuses_it_in_the_node_with_our_settings(rule: str) -> None:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--output-format=concise",
        "--stdin-filename=service/sample.py",
        "-",
    ]
    answer = subprocess.run(command, input=RUFF[rule], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f": {rule} " in answer.stdout, answer.stdout + answer.stderr
    assert answer.returncode == 1
