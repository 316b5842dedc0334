#!/usr/bin/python3
"""Compares how long an echo server takes to compile with Weft and with plain Boost.Asio.

    compile_bench.py --root DIR [--rounds R] [--include DIR ...]

DIR is the checkout; its framework/ is the include root. g++ is called directly: no precompiled header, no ccache.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import pathlib
import resource
import subprocess
import tempfile

from report import print_table, rotated, spread

HERE = pathlib.Path(__file__).resolve().parent
COMPILER = "/usr/bin/g++"
COMPILE_TIMEOUT = 120  # seconds, for any one compilation
SOURCES = {"weft": HERE / "compile" / "weft_echo.cpp", "asio": HERE / "compile" / "asio_echo.cpp"}


class CompileError(Exception):
    pass


def compile_time(source, level, includes):
    """Seconds of CPU that the compiler and its children take."""
    with tempfile.TemporaryDirectory() as folder:
        command = [COMPILER, "-std=c++20", level, "-c", str(source), "-o", f"{folder}/echo.o"]
        command += [f"-I{include}" for include in includes]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=COMPILE_TIMEOUT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        raise CompileError(f"{source.name} does not compile:\n{result.stderr[:2000]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="the checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--include", type=pathlib.Path, action="append", default=[], help="a further include directory")
    args = parser.parse_args()

    includes = [args.root / "framework", *args.include]
    sources = dict(SOURCES)
    if not (args.root / "framework" / "weft" / "weft.hpp").exists():
        print(f"weft: skipped, {args.root}/framework/weft/weft.hpp is missing")
        del sources["weft"]

    times = {}
    try:
        for level in ("-O0", "-O2"):
            for name, source in sources.items():  # once for the page cache
                compile_time(source, level, includes)
            for round_number in range(args.rounds):
                for name in rotated(list(sources), round_number):
                    times.setdefault((level, name), []).append(compile_time(sources[name], level, includes))
    except (CompileError, subprocess.TimeoutExpired) as error:
        sys.exit(f"compile_bench: {error}")

    rows = []
    for (level, name), mine in times.items():
        ratios = [value / base for value, base in zip(mine, times[level, "asio"])]
        rows.append([f"{name} {level}", spread(mine), spread(ratios)])
    title = f"CPU time to compile an echo server; rounds: {args.rounds}"
    print_table(title, ["source", "seconds (min-max)", "x asio (min-max)"], rows)


if __name__ == "__main__":
    main()
