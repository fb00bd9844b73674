"""The wheel holds everything, the front door is light, the console script works."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import datumrl

ROOT = Path(__file__).parents[1]
FOLDERS = ("algorithms", "datasets", "evaluation", "leaderboard", "scripts")


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Build from a copy of what git tracks, so that a forgotten `git add` shows.
    source = folder / "source"
    source.mkdir()
    names = run("git", "ls-files", cwd=ROOT).splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(ROOT / name, source / name)
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
        "-w", folder, source,
    )  # fmt: skip
    (path,) = folder.glob("datumrl-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = run("git", "ls-files", *FOLDERS, "datumrl", cwd=ROOT).splitlines()
    expected = {
        name if name.startswith("datumrl/") else f"datumrl/{name}"
        for name in tracked
        if (ROOT / name).is_file()
    }
    assert expected - held == set()


@pytest.mark.slow
def test_an_installed_wheel_reads_its_data_and_offers_the_command(
    wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    # The dependencies come from this environment by path; datumrl itself must come from the wheel.
    dependencies = Path(os.path.dirname(os.path.dirname(pytest.__file__)))  # noqa: PTH120
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--target", site, wheel,
    )  # fmt: skip
    Path(site, "dependencies.pth").write_text(f"{dependencies}\n")
    where = run(python, "-c", "import datumrl.datasets as d; print(d.__path__[0])", cwd=tmp_path)
    assert where.startswith(site)
    listing = run(
        python, "-c", "from datumrl.scripts.main import main; main(['datasets', '--all'])",
        cwd=tmp_path,
    )  # fmt: skip
    assert "d4rl/hopper-medium-v2" in listing
    assert Path(site, "bin", "datumrl").exists()


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("datumrl")
    assert run(script, "--version").strip() == f"datumrl {datumrl.__version__}"


def test_the_front_door_imports_nothing_heavy() -> None:
    probe = (
        "import sys, datumrl; "
        "print([m for m in ('torch','gymnasium','h5py','pandas','matplotlib') if m in sys.modules])"
    )
    assert run(sys.executable, "-c", probe).strip() == "[]"


def test_reading_data_needs_neither_torch_nor_an_environment() -> None:
    probe = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'gymnasium', 'mujoco', 'pandas'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import datumrl; print(datumrl.load.__name__)"
    )
    assert run(sys.executable, "-c", probe).strip() == "load"


def test_every_public_name_resolves() -> None:
    for name in datumrl.__all__:
        assert getattr(datumrl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        datumrl.lod  # noqa: B018


def test_constraints_pin_every_dependency_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}
    for package in ("torch", "h5py", "minari", "pandas", "rliable", "mujoco", "gymnasium", "numpy"):
        assert package in pinned
    assert all("==" in line for line in lines if line and not line.startswith("#"))
