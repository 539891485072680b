# SPDX-License-Identifier: Apache-2.0
"""What our code may not say, beyond ruff's own security rules (S): each rule looks at one node of the syntax tree."""

import ast
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from pydicom.datadict import tag_for_keyword

SERIALISERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
RUNS_PROGRAMS = {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
DATA_SETS = {"dataset", "data_set", "ds", "header", "incoming", "instance", "study"}
ADDRESSES = (
    "RetrieveURL",
    "RetrieveURI",
    "RetrieveLocationUID",
    "ReferencedPixelDataProviderURL",
    "PixelDataProviderURL",
)

Rule = Callable[[ast.AST], bool]


def called(node: ast.AST) -> str:
    """The dotted name of what a call calls; "" for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def keyword(node: ast.AST, name: str) -> ast.expr | None:
    found = node.keywords if isinstance(node, ast.Call) else []
    return next((given.value for given in found if given.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def serialised_objects(node: ast.AST) -> bool:
    """Reading such a file runs the code in it. An exception's name may be imported with `pickle.UnpicklingError`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SERIALISERS:
        return node.attr != "UnpicklingError"
    return isinstance(node, ast.ImportFrom) and node.module in SERIALISERS


def weights_that_run(node: ast.AST) -> bool:
    return called(node).endswith("torch.load") and not is_constant(keyword(node, "weights_only"), True)


def arrays_that_run(node: ast.AST) -> bool:
    return called(node) in {"np.load", "numpy.load"} and not is_constant(keyword(node, "allow_pickle"), False)


def yaml_that_runs(node: ast.AST) -> bool:
    """`yaml.load` takes a loader of ours that is a SafeLoader, by its name; ruff's S506 asks for the rest."""
    if called(node) not in {"yaml.load", "yaml.load_all"}:
        return called(node) in {"yaml.unsafe_load", "yaml.full_load"}
    loader = keyword(node, "Loader")
    return not (isinstance(loader, ast.Name) and loader.id.endswith("PlainLoader"))


def code_from_text(node: ast.AST) -> bool:
    return called(node) in RUNS_CODE


def shells(node: ast.AST) -> bool:
    return called(node) in {"os.system", "os.popen"} or (
        called(node).startswith("subprocess.") and keyword(node, "shell") is not None
    )


def programs_in_one_string(node: ast.AST) -> bool:
    module, _, function = called(node).rpartition(".")
    if module != "subprocess" or function not in RUNS_PROGRAMS or not isinstance(node, ast.Call) or not node.args:
        return False
    text = node.args[0]
    formatted = isinstance(text, ast.BinOp) and isinstance(text.op, ast.Mod)
    return formatted or isinstance(text, ast.Constant | ast.JoinedStr) or called(text).endswith((".join", ".format"))


def names_that_race(node: ast.AST) -> bool:
    return called(node) in {"tempfile.mktemp", "os.tempnam", "os.tmpnam"}


def paths_by_join(node: ast.AST) -> bool:
    return called(node) == "os.path.join"


def paths_of_dicom_values(node: ast.AST) -> bool:
    """`folder / dataset.PatientID`, `folder / f"{uid}.dcm"`: a sender would choose the place."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return any(map(is_dicom_value, ast.walk(node.right))) and not is_number(node)
    joins = called(node).endswith((".joinpath", "Path"))
    return (
        joins
        and isinstance(node, ast.Call)
        and any(is_dicom_value(part) for arg in node.args for part in ast.walk(arg))
    )


def is_number(division: ast.BinOp) -> bool:
    """A quotient: nothing on the left of it is a path by its name."""
    words = ("folder", "path", "root", "directory")
    return not any(word in ast.unparse(division.left).lower() for word in words)


def is_dicom_value(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name == "uid" or name.endswith("_uid") or (name[:1].isupper() and tag_for_keyword(name) is not None)


def data_sets_in_logs(node: ast.AST) -> bool:
    target, _, level = called(node).rpartition(".")
    if level not in LEVELS or target.rpartition(".")[2].strip("_") not in {"logger", "log", "logging", "structlog"}:
        return False
    parts = [part for arg in (node.args if isinstance(node, ast.Call) else []) for part in ast.walk(arg)]
    return any(is_dicom_value(part) or (isinstance(part, ast.Name) and part.id in DATA_SETS) for part in parts)


def addresses_of_data_sets(node: ast.AST) -> bool:
    """Where a data set says that more can be fetched: nothing of ours may even look."""
    named = node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else ""
    return named in ADDRESSES


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "serialised objects": serialised_objects,
        "torch.load without weights_only": weights_that_run,
        "numpy.load with pickle": arrays_that_run,
        "yaml.load with a loader that is not safe": yaml_that_runs,
        "code from text": code_from_text,
        "a shell": shells,
        "a program and its arguments in one string": programs_in_one_string,
        "a temporary name that races": names_that_race,
        "os.path.join": paths_by_join,
        "a path made of a DICOM value": paths_of_dicom_values,
        "a data set in a log": data_sets_in_logs,
        "an address out of a data set": addresses_of_data_sets,
    }
)


def findings(source: str) -> Iterator[tuple[str, int, str]]:
    """Yield rule, line and statement of everything forbidden in a module."""
    for node in ast.walk(ast.parse(source)):
        for name, rule in RULES.items():
            if rule(node):
                yield name, getattr(node, "lineno", 0), ast.unparse(node)
