"""What holds the project together: one dependency list, a set-up that recovers, a true README."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]
LOCK = (ROOT / "requirements.lock").read_text()
README = (ROOT / "README.md").read_text()

# Packages that come inside a dependency which fixes their version itself.
BROUGHT_BY = {
    "llvmlite": "numba",
    "IPython": "jupyterlab",
    "ipykernel": "jupyterlab",
    "nbconvert": "jupyterlab",
    "nbformat": "jupyterlab",
    "traitlets": "anywidget",
}


def bounds(requirements: list[Requirement]) -> dict[str, str]:
    """Name, written the one canonical way, to version bounds."""
    return {canonicalize_name(each.name): str(each.specifier) for each in requirements}


def pins() -> list[tuple[Requirement, str]]:
    """Every pinned package of the lock, with the lines of hashes that follow it."""
    entries = re.findall(r"^(\S+==[^\\\n]+?)\s*\\\n((?:\s+--hash=\S+.*\n)+)", LOCK, re.MULTILINE)
    return [(Requirement(requirement), hashes) for requirement, hashes in entries]


def environment() -> tuple[list[str], list[str]]:
    """The lines for conda and the lines for pip in environment.yml."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    for_conda = [line for line in lines if isinstance(line, str)]
    (for_pip,) = (line["pip"] for line in lines if isinstance(line, dict))
    return for_conda, for_pip


class TestDependencies:
    def test_each_one_has_a_lower_bound(self) -> None:
        for requirement in RUNTIME + DEVELOPMENT:
            assert [each.operator for each in requirement.specifier] == [">="], requirement

    def test_environment_lists_what_pyproject_lists(self) -> None:
        _, for_pip = environment()
        assert for_pip[-1] == "-e ."
        assert bounds([Requirement(line) for line in for_pip[:-1]]) == bounds(RUNTIME)

    def test_environment_asks_for_the_same_python(self) -> None:
        for_conda, _ = environment()
        (python,) = (Requirement(line) for line in for_conda if line.startswith("python"))
        lowest = [str(each) for each in python.specifier if each.operator == ">="]
        assert lowest == [PROJECT["requires-python"]]

    def test_lock_pins_each_within_its_bounds(self) -> None:
        pinned: dict[str, list[str]] = {}
        for requirement, _ in pins():
            (pin,) = requirement.specifier
            pinned.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
        for name, bound in bounds(RUNTIME + DEVELOPMENT).items():
            assert pinned.get(name), f"{name} is not in requirements.lock; run make lock"
            assert all(SpecifierSet(bound).contains(version) for version in pinned[name]), name

    def test_lock_hashes_everything_and_names_no_address(self) -> None:
        assert len(pins()) == len(re.findall(r"^[A-Za-z0-9]", LOCK, re.MULTILINE))
        assert all("--hash=sha256:" in hashes for _, hashes in pins())
        assert "://" not in LOCK
        assert not re.search(r"^-", LOCK, re.MULTILINE), "an option, such as an index to ask"

    def test_lock_was_made_for_every_python_that_is_allowed(self) -> None:
        versions = ["3.11.0", "3.12.0", "3.13.0", "3.14.0"]
        for version in versions:
            here = {
                "python_version": version.rpartition(".")[0],
                "python_full_version": version,
                "sys_platform": "linux",
                "os_name": "posix",
                "platform_python_implementation": "CPython",
                "implementation_name": "cpython",
            }
            chosen = [
                canonicalize_name(requirement.name)
                for requirement, _ in pins()
                if requirement.marker is None or requirement.marker.evaluate(here)
            ]
            assert len(chosen) == len(set(chosen)), f"Python {version} gets two versions of one"
            assert set(bounds(RUNTIME)) <= set(chosen), version

    def test_every_import_is_a_declared_dependency(self) -> None:
        declared = set(bounds(RUNTIME))
        for source in sorted((ROOT / "labkit").rglob("*.py")):
            for node in ast.walk(ast.parse(source.read_text())):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    modules = [node.module or ""]
                else:
                    continue
                for module in modules:
                    top = module.partition(".")[0]
                    if top in sys.stdlib_module_names or top == "labkit":
                        continue
                    package = canonicalize_name(BROUGHT_BY.get(top, top))
                    assert package in declared, f"{source.relative_to(ROOT)} imports {top}"


class TestPackage:
    def test_version_is_said_in_one_place(self) -> None:
        assert importlib.import_module("labkit").__version__ == PROJECT["version"]

    def test_installed_command_is_the_declared_one(self) -> None:
        installed = metadata.entry_points(group="console_scripts", name="labkit")
        if not installed:
            pytest.skip("labkit is not installed here, only on the path")
        (command,) = {entry.value for entry in installed}
        assert command == PROJECT["scripts"]["labkit"]
        assert callable(next(iter(installed)).load())

    def test_types_are_shipped(self) -> None:
        assert (ROOT / "labkit" / "py.typed").is_file()


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests must not hand its own flags down to the make under test.
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    surroundings.pop("MFLAGS", None)
    return subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=60
    )


def stand_in(path: Path, version: str, *, has_venv: bool = True, has_headers: bool = True) -> str:
    """A shell script that answers the set-up's questions as such a Python would; its path."""
    new_enough = tuple(map(int, version.split("."))) >= (3, 11)
    path.write_text(
        f"""#!/bin/sh
case "$*" in
    *'%d.%d'*) echo {version} ;;
    *'(3, 11)'*) exit {int(not new_enough)} ;;
    *ensurepip*) exit {int(not has_venv)} ;;
    *Python.h*) exit {int(not has_headers)} ;;
    '-m venv '*)
        echo made >> made
        mkdir -p .venv/bin
        printf '#!/bin/sh\\n[ ! -e broken ]\\n' > .venv/bin/python
        printf '#!/bin/sh\\necho "$@"\\n' > .venv/bin/labkit
        chmod +x .venv/bin/* ;;
esac
"""
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestSetUp:
    """The Makefile's set-up, with scripts standing in for Pythons this machine may not have."""

    @pytest.fixture
    def clone(self, tmp_path: Path) -> Path:
        folder = tmp_path / "a clone"
        folder.mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy2(ROOT / name, folder)
        return folder

    def test_without_a_python_it_says_so(self, clone: Path) -> None:
        done = run("make", "PYTHON=no-such-python", folder=clone)
        assert done.returncode == 2
        assert "Python 3.11 or newer is needed and was not found;" in done.stderr
        assert not (clone / ".venv").exists()

    def test_an_old_python_is_named(self, clone: Path) -> None:
        old = stand_in(clone / "old", "3.9")
        done = run("make", f"PYTHON=./{Path(old).name}", folder=clone)
        assert done.returncode == 2
        assert "was not found (only 3.9);" in done.stderr

    def test_a_python_without_venv_gets_its_remedy(self, clone: Path) -> None:
        stand_in(clone / "bare", "3.12", has_venv=False)
        done = run("make", "PYTHON=./bare", folder=clone)
        assert done.returncode == 2
        assert "sudo apt install python3-venv" in done.stderr

    def test_what_has_to_be_built_takes_a_compiler_and_headers(
        self, clone: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", f"{clone}:{os.environ['PATH']}")
        compiler = clone / "cc"
        compiler.write_text("#!/bin/sh\n")
        compiler.chmod(0o755)
        stand_in(clone / "newest", "3.14", has_headers=False)
        done = run("make", "PYTHON=./newest", folder=clone)
        assert done.returncode == 2
        assert "sudo apt install gcc python3-dev" in done.stderr
        assert not (clone / ".venv").exists()
        stand_in(clone / "newest", "3.14")
        assert run("make", "PYTHON=./newest", folder=clone).returncode == 0

    def test_the_first_fit_python_is_taken(self, clone: Path) -> None:
        stand_in(clone / "old", "3.9")
        stand_in(clone / "bare", "3.13", has_venv=False)
        stand_in(clone / "fit", "3.12")
        done = run("make", "PYTHON=./none ./old ./bare ./fit", folder=clone)
        assert done.returncode == 0
        assert "with Python 3.12;" in done.stderr

    def test_it_sets_up_once_and_passes_options_on(self, clone: Path) -> None:
        stand_in(clone / "fit", "3.12")
        for _ in range(2):
            done = run("make", "PYTHON=./fit", "ARGS=-m pipe --size 4K", folder=clone)
            assert done.returncode == 0
            assert done.stdout == "compare -m pipe --size 4K\n"
        assert done.stderr == ""
        assert (clone / "made").read_text() == "made\n"

    def test_it_recovers_from_an_interrupted_one(self, clone: Path) -> None:
        stand_in(clone / "fit", "3.12")
        (clone / "broken").touch()
        done = run("make", "PYTHON=./fit", folder=clone)
        assert done.returncode == 2
        assert "the packages could not be installed" in done.stderr
        (clone / "broken").unlink()
        assert run("make", "PYTHON=./fit", folder=clone).returncode == 0
        assert (clone / "made").read_text() == "made\nmade\n"

    def test_it_follows_a_folder_that_was_moved(self, clone: Path) -> None:
        stand_in(clone / "fit", "3.12")
        run("make", "PYTHON=./fit", folder=clone)
        moved = clone.rename(clone.with_name("moved"))
        assert run("make", "PYTHON=./fit", folder=moved).returncode == 0
        assert (moved / "made").read_text() == "made\nmade\n"

    def test_another_python_that_is_named_is_honoured(self, clone: Path) -> None:
        stand_in(clone / "fit", "3.12")
        stand_in(clone / "newer", "3.13")
        run("make", "PYTHON=./fit", folder=clone)
        again = run("make", "PYTHON=./newer", folder=clone)
        assert "with Python 3.13;" in again.stderr
        assert run("make", folder=clone).stderr == ""  # it stays
        done = run("make", "PYTHON=/nonexistent", folder=clone)
        assert done.returncode == 2
        assert "was not found" in done.stderr
        assert (clone / ".venv").exists()

    def test_it_follows_the_lock(self, clone: Path) -> None:
        stand_in(clone / "fit", "3.12")
        run("make", "PYTHON=./fit", folder=clone)
        later = (clone / ".venv" / ".installed").stat().st_mtime + 1
        os.utime(clone / "requirements.lock", (later, later))
        run("make", "PYTHON=./fit", folder=clone)
        assert (clone / "made").read_text() == "made\nmade\n"


class TestReadme:
    def test_its_links_lead_somewhere(self) -> None:
        targets = re.findall(r"\]\(([^)#]+)\)", README)
        missing = [each for each in targets if "://" not in each and not (ROOT / each).exists()]
        assert missing == []

    @pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
    def test_its_make_targets_exist(self) -> None:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)\b", README, re.MULTILINE))
        assert {"compare", "lab", "test"} <= named
        for target in sorted(named):
            assert run("make", "--dry-run", target, folder=ROOT).returncode == 0, target

    def test_its_commands_exist(self) -> None:
        code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", README, re.DOTALL))
        named = set(re.findall(r"(?:^|`|/)labkit ([a-z]+)\b", code, re.MULTILINE))
        assert "compare" in named
        for command in sorted(named):
            done = run(sys.executable, "-m", "labkit", command, "--help", folder=ROOT)
            assert done.returncode == 0, f"labkit {command}: {done.stderr}"


def test_the_check_for_every_change_can_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", str(script), folder=ROOT).returncode == 0
    assert "make lint" in script.read_text()
    assert "make test" in script.read_text()
