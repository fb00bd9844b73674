"""Who may import whom: the direction in which data goes is a rule, not a habit."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"algorithms", "datasets", "evaluation", "leaderboard", "scripts"}
MAY_IMPORT = {
    "datasets": set(),
    "evaluation": {"datasets"},
    "algorithms": {"datasets", "evaluation"},
    "leaderboard": {"datasets", "evaluation", "algorithms"},
    "scripts": FOLDERS,
}
# Algorithms roll out and record; they may not lean on what judges them.
EVALUATION_FOR_ALGORITHMS = {"environments", "provenance", "recorder", "records", "rollout"}
# Boards call methods by their registered names; they train nothing.
ALGORITHMS_FOR_LEADERBOARD = {"registry"}
# Third-party packages that only some folders may touch.
ONLY_IN = {
    "torch": {"algorithms"},
    "gymnasium": {"evaluation"},
    "mujoco": {"evaluation"},
    "h5py": {"datasets"},
    "minari": {"datasets"},
}
STANDALONE = {"train_behaviour_policy.py"}  # runs in an environment of its own


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return (dotted module, imported at module level) for every import of a file."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports break under package_dir"
            found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
    return found


def modules() -> list[Path]:
    return sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in STANDALONE
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_direction_of_the_data(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for name, at_top in imports(path):
        package, *rest = name.split(".")
        assert package not in FOLDERS, f"import datumrl.{name}, not {name}"
        if package == "datumrl" and rest and rest[0] in FOLDERS:
            assert rest[0] in MAY_IMPORT[folder] | {folder}, f"{path} imports {name}"
            if (folder, rest[0]) == ("algorithms", "evaluation"):
                assert rest[1] in EVALUATION_FOR_ALGORITHMS, f"{path} imports {name}"
            if (folder, rest[0]) == ("leaderboard", "algorithms"):
                assert rest[1] in ALGORITHMS_FOR_LEADERBOARD, f"{path} imports {name}"
        if package in ONLY_IN:
            assert folder in ONLY_IN[package], f"{path} imports {package}"
            if package in ("gymnasium", "mujoco", "minari"):
                assert not at_top, f"{path} imports {package} at module level; import it lazily"


def test_no_algorithm_imports_another() -> None:
    from datumrl.algorithms import registry

    modules = {name: Path(str(registry.find(name).__file__)) for name in registry.ALGORITHMS}
    assert len({path.stem for path in modules.values()}) == len(modules)
    for name, path in modules.items():
        assert path.parent == ROOT / "algorithms", f"{name} is in {path}"
        # `from datumrl.algorithms import iql` and `from datumrl.algorithms.iql import Config` alike
        imported = {word for module, _ in imports(path) for word in module.split(".")[:3]}
        others = {other.stem for key, other in modules.items() if key != name}
        assert not imported & others, f"{path} imports another method"


def test_what_algorithms_may_import_exists() -> None:
    modules = {path.stem for path in (ROOT / "evaluation").glob("*.py")}
    assert modules >= EVALUATION_FOR_ALGORITHMS


def test_every_package_that_is_imported_is_declared() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + "".join(setup["options.extras_require"].values())
    declared = {re.split(r"[^\w-]", line)[0].lower() for line in lines.split("\n")}
    for path in modules():
        for name, _ in imports(path):
            package = name.partition(".")[0]
            if package not in {*sys.stdlib_module_names, "datumrl"}:
                package = {"PIL": "pillow"}.get(package, package)
                assert package in declared, f"{path} imports {package}"


def test_no_module_shadows_the_standard_library_or_a_dependency() -> None:
    dependencies = {"torch", "numpy", "pandas", "h5py", "minari", "rliable", "mujoco", "gymnasium"}
    for path in modules():
        assert path.stem not in sys.stdlib_module_names | dependencies, path
