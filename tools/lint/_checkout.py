"""What the lints share: the files of this checkout, and how a finding is printed."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNTRACKED = {".git", "build", "__pycache__", ".cache"}
CPP_SUFFIXES = (".hpp", ".cpp", ".h", ".c")


def files(*places: str, suffixes: tuple[str, ...] | None = None) -> list[pathlib.Path]:
    """The files below these places that git tracks or would track, sorted; without git, all that are there."""
    there = [place for place in places if (ROOT / place).exists()]
    if not there:
        return []
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    command += ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *there]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        found = {ROOT / name for name in listed if name}
    except (OSError, subprocess.CalledProcessError):
        found = {path for place in there for path in [ROOT / place, *(ROOT / place).rglob("*")]}
        found = {path for path in found if not UNTRACKED.intersection(path.relative_to(ROOT).parts)}
    return sorted(path for path in found if path.is_file() and (suffixes is None or path.suffix in suffixes))


def shown(path: pathlib.Path | str) -> str:
    """The path as a reader at the root of the checkout would type it."""
    try:
        return str(pathlib.Path(path).relative_to(ROOT))
    except ValueError:
        return str(path)


def finish(problems: list[str], checked: str) -> None:
    """Prints the findings, or what was checked, and exits with 1 or 0."""
    name = pathlib.Path(sys.argv[0]).name
    for problem in problems:
        print(problem)
    print(f"{name}: {len(problems)} found in {checked}" if problems else f"{name}: {checked}, nothing found")
    sys.exit(1 if problems else 0)
