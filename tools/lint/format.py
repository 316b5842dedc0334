#!/usr/bin/env python3
"""Checks that every C and C++ file is as clang-format-19 and .clang-format would write it; --fix rewrites the files."""

from __future__ import annotations

import concurrent.futures
import re
import shutil
import subprocess
import sys

from _checkout import CPP_SUFFIXES, ROOT, files, finish, shown

PLACES = ("framework", "protocols", "test", "bench", "examples", "tools")
COMPLAINT = re.compile(r"^(.+?:\d+:\d+): error: (.*?)(?: \[-W.*\])?$", re.MULTILINE)


def misformatted(path) -> list[str]:
    command = ["clang-format-19", "--dry-run", "-Werror", "--ferror-limit=5", shown(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = [f"{place}: {what}" for place, what in COMPLAINT.findall(run.stderr)]
    if run.returncode and not found:
        found = [f"{shown(path)}:1: {run.stderr.strip()}"]
    return found


def main() -> None:
    if shutil.which("clang-format-19") is None:
        finish(["clang-format-19 is not installed"], "no file")
    paths = files(*PLACES, suffixes=CPP_SUFFIXES)
    if "--fix" in sys.argv[1:] and paths:
        subprocess.run(["clang-format-19", "-i", *map(shown, paths)], cwd=ROOT, check=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        problems = [problem for found in pool.map(misformatted, paths) for problem in found]
    finish(problems, f"{len(paths)} files")


if __name__ == "__main__":
    main()
