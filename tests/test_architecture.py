"""Imports point down the floors of the house."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import hw2exp

ROOT = Path(hw2exp.__file__).parent

FLOORS = [
    {"system"},
    {"config"},
    {"records", "tasks"},
    {"models"},
    {"kernels", "optim"},
    {"fleet"},
    {"diagnostics"},
    {"compare", "runs", "theory"},
    {"anatomy", "report", "sweeps"},
    {"__main__", "extract", "playground", "plot", "train", "whatif", "zoom"},
]
"""The rooms of the package, from the ground up; a room imports from lower floors only."""

COMMANDS_OF_ONE_MODULE = {"extract", "playground", "plot", "zoom"}
"""Rooms that are a command of one module, and add no place to look for code."""

HYDRA_MAY_BE_KNOWN_TO = {
    "config.arguments",
    "config.command_line",
    "config.composition",
    "config.grid",
    "config.hydra_session",
    "config.job",
    "config.jobs",
    "config.overrides",
    "config.packing",
    "config.parsing",
    "config.recorded",
    "config.refusals",
    "config.repository",
    "config.trusted",
    "config.unused",
    "sweeps.execution",
    "sweeps.hydra_app",
    "sweeps.hydra_records",
    "sweeps.job_return",
    "sweeps.job_runner",
    "sweeps.launcher",
}
ONLY_FROM_HYDRA = {"hydra", "omegaconf"}


@cache
def modules():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__")
        if name.rstrip("."):
            found.append((name.rstrip("."), ast.parse(path.read_text(encoding="utf-8"))))
    return found


def floor(module):
    """The floor of a module's room."""
    top = module.split(".")[0]
    return next((number for number, names in enumerate(FLOORS) if top in names), None)


def imports(tree):
    """What a module imports: lazily, or for type checkers only, counts too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ([f"{node.module}.{alias.name}" for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_imports_point_down():
    wrong = []
    for module, tree in modules():
        own = floor(module)
        assert own is not None, f"{module} stands on no floor"
        for imported in imports(tree):
            other = imported.removeprefix("hw2exp.").split(".")[0]
            if not imported.startswith("hw2exp.") or other == module.split(".")[0]:
                continue
            if floor(other) is None or floor(other) >= own:
                wrong.append(f"{module} (floor {own}) imports {imported} (floor {floor(other)})")
    assert wrong == []


def test_few_rooms_and_floors():
    rooms = {module.split(".")[0] for module, _ in modules()}
    assert rooms == set.union(*FLOORS)
    assert len(rooms - COMMANDS_OF_ONE_MODULE) <= 18
    assert all((ROOT / f"{name}.py").is_file() for name in COMMANDS_OF_ONE_MODULE)
    assert len(FLOORS) <= 10


def test_the_documentation_prints_these_floors():
    text = (ROOT.parent / "docs" / "explanation" / "house.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*) \|$", text.partition("| floor | rooms |")[2], re.MULTILINE)
    printed = [set(re.findall(r"(?:^|; )`(\w+)`:", words)) for _, words in rows[: len(FLOORS)]]
    assert printed == FLOORS


def test_no_module_imports_itself_by_way_of_others():
    """Within a room too, lazy imports and imports for type checkers counted."""
    known = {f"hw2exp.{module}": tree for module, tree in modules()}
    graph = {
        name: {
            found
            for imported in imports(tree)
            if (found := imported if imported in known else imported.rpartition(".")[0]) in known
        }
        for name, tree in known.items()
    }
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_hydra_is_known_to_few():
    knowing = {
        module
        for module, tree in modules()
        for imported in imports(tree)
        if imported.split(".")[0] in ONLY_FROM_HYDRA
    }
    assert knowing == HYDRA_MAY_BE_KNOWN_TO


def test_records_never_see_torch_or_the_trainer():
    for module, tree in modules():
        if module.startswith(("records", "config")):
            names = {imported.split(".")[0] for imported in imports(tree)}
            assert "torch" not in names, module


def test_the_folder_of_hydras_plugins_is_shared_with_others():
    """An ``__init__.py`` at its top would hide every other plugin that is installed."""
    assert not (ROOT.parent / "hydra_plugins/__init__.py").exists()


WRITES = {
    "mkdir", "makedirs", "open", "rename", "replace", "rmdir", "rmtree", "savefig", "touch",
    "truncate", "unlink", "write_bytes", "write_csv", "write_parquet", "write_text",
}  # fmt: skip


def writes(tree):
    """Calls that write to a path; what writes into a buffer has it as its first argument."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        first = node.args[0] if node.args else None
        text = " ".join(ast.unparse(part) for part in [*node.args, *node.keywords])
        if name not in WRITES or (name == "open" and "'w" not in text and "os.O_W" not in text):
            continue
        if name in ("savefig", "write_parquet") and isinstance(first, ast.Name):
            continue
        if name == "write_csv" and first is None:
            continue
        if name == "replace" and (len(node.args) != 1 or node.keywords):  # str, dataclasses
            continue
        if "os.devnull" not in text:
            yield ast.unparse(node)


def test_all_writes_go_through_one_module():
    found = {module: list(writes(tree)) for module, tree in modules()}
    assert {module for module, calls in found.items() if calls} == {"system.disk", "system.lock"}, (
        found
    )
