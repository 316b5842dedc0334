#!/usr/bin/env python3
"""Checks the headers of framework/ and protocols/:

- a public header compiles alone, and twice, without a warning;
- what it pulls in has no Boost (weft/asio.hpp may), no OpenSSL, no <regex>, no <iostream>, of fmt only fmt/core.h;
- a lower floor includes no header of an upper one, and protocols include only public headers of the framework.

A header is private below a folder named impl or in framework/weft/backends/. CXX is the compiler, g++ if it is not set.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess

from _checkout import ROOT, files, finish, shown

INCLUDE_ROOTS = (ROOT / "framework", ROOT / "protocols")
FLOORS = ("base", "loop", "tasks", "sync", "io", "services")  # lowest first
UMBRELLAS = ("weft.hpp", "asio.hpp", "format.hpp")  # they include every floor, so no floor includes them
WITHOUT_INSPECT = ("base", "loop")
MAY_USE_BOOST = ("weft/asio.hpp",)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]')
OPENED = re.compile(r"^(\.+) (.+)$")


# --- which header is what ------------------------------------------------------------------------


def is_private(path: pathlib.Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return "impl" in parts or parts[:3] == ("framework", "weft", "backends")


def spelled(path: pathlib.Path) -> str:
    """weft/tasks/gather.hpp: as it is included."""
    return str(pathlib.Path(*path.relative_to(ROOT).parts[1:]))


def room(path: pathlib.Path) -> str:
    """The folder of the framework a file lies in (tasks), or the file itself at its top (weft.hpp); elsewhere empty."""
    parts = path.relative_to(ROOT).parts
    return parts[2] if parts[:2] == ("framework", "weft") and len(parts) > 2 else ""


# --- direct includes -----------------------------------------------------------------------------


def included(path: pathlib.Path):
    """The project's own files that this one includes: (line, file)."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        roots = INCLUDE_ROOTS if match[1] == "<" else (path.parent, *INCLUDE_ROOTS)
        for root in roots:
            target = (root / match[2]).resolve()
            if target.is_file() and target.is_relative_to(ROOT):
                yield number, target
                break


def floor_complaint(path: pathlib.Path, target: pathlib.Path) -> str | None:
    """What is wrong with a header of one room including the other, if anything is."""
    mine, theirs = room(path), room(target)
    if mine in FLOORS:
        if theirs in FLOORS and FLOORS.index(theirs) > FLOORS.index(mine):
            return f"{mine} is below {theirs}"
        if theirs in UMBRELLAS:
            return f"{mine} is below {theirs}, which includes every floor"
    if mine in WITHOUT_INSPECT and theirs == "inspect":
        return f"{mine} is below inspect"
    return None


def misplaced_includes(path: pathlib.Path) -> list[str]:
    problems = []
    in_protocols = path.relative_to(ROOT).parts[0] == "protocols"
    for number, target in included(path):
        what = floor_complaint(path, target) if path.suffix == ".hpp" else None
        if in_protocols and target.is_relative_to(ROOT / "framework") and is_private(target):
            what = "protocols use public headers of the framework only"
        if what:
            problems.append(f"{shown(path)}:{number}: includes {spelled(target)}: {what}")
    return problems


# --- all that a header pulls in ------------------------------------------------------------------


def folders(opened: str) -> tuple[str, ...]:
    """The parts of a path, without those of the checkout itself."""
    path = pathlib.Path(opened)
    return path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else path.parts


def forbidden(opened: str) -> str | None:
    """Why a public header may not open this file, if it may not."""
    path, parts = pathlib.Path(opened), folders(opened)
    if parts[0] in ("framework", "protocols"):
        return None
    if "boost" in parts:
        return "Boost"
    if "openssl" in parts:
        return "OpenSSL"
    if "fmt" in parts and path.name != "core.h":
        return "more of fmt than fmt/core.h"
    if path.name in ("regex", "iostream"):
        return f"<{path.name}>"
    return None


def heavy_include(tree: str, may_use_boost: bool) -> str | None:
    """Reads what -H printed: the first forbidden file and the chain of headers that leads to it."""
    chain: list[str] = []
    for line in tree.splitlines():
        match = OPENED.match(line)
        if not match:
            continue
        del chain[len(match[1]) - 1 :]
        opened = os.path.normpath(os.path.join(ROOT, match[2]))
        chain.append(opened)
        if may_use_boost and any("boost" in folders(step) for step in chain):
            continue
        if why := forbidden(opened):
            return f"pulls in {why}: " + " > ".join(shown(step) for step in chain)
    return None


def compiled_alone(path: pathlib.Path) -> list[str]:
    name = spelled(path)
    roots = [f"-I{shown(root)}" for root in INCLUDE_ROOTS]
    command = shlex.split(os.environ.get("CXX") or "g++")
    command += ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-H", *roots, "-x", "c++", "-"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C"},
        input=f"#include <{name}>\n#include <{name}>\n",
        capture_output=True,
        text=True,
    )
    problems = []
    if run.returncode:
        errors = [line for line in run.stderr.splitlines() if re.search(r": (fatal )?error: ", line)]
        problems.append(f"{shown(path)}:1: does not compile alone: {errors[0] if errors else run.stderr.strip()}")
    if heavy := heavy_include(run.stderr, name in MAY_USE_BOOST):
        problems.append(f"{shown(path)}:1: {heavy}")
    return problems


def main() -> None:
    sources = files("framework/weft", "protocols/weft", suffixes=(".hpp", ".cpp"))
    problems = [problem for path in sources for problem in misplaced_includes(path)]
    public = [path for path in sources if path.suffix == ".hpp" and not is_private(path)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        problems += [problem for found in pool.map(compiled_alone, public) for problem in found]
    finish(problems, f"{len(public)} public headers")


if __name__ == "__main__":
    main()
