#!/usr/bin/python3
"""Compares what it costs to start /bin/true and wait for it, one after the other.

    spawn_bench.py --build DIR [--count N] [--rounds R]

Programs: bare (posix_spawn and waitpid in C), weft, asyncio, uvloop. bench/README.md says how to read the table. The
exit status is 1 if Weft has left a descriptor or a child behind.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import collections
import pathlib
import subprocess

from report import has_uvloop, pin_to, print_table, rotated, spread

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
CORE = 0
SLICES = 10  # of a round: the programs take turns, so that the machine's drift meets them all
SLOW = {"asyncio", "uvloop"}  # they start a tenth
RUN_TIMEOUT = 300  # seconds, for any one slice


def find_programs(build):
    programs = {name: [str(build / "bench" / f"{name}_spawn")] for name in ("bare", "weft")}
    script = str(HERE / "spawn" / "asyncio_spawn.py")
    programs["asyncio"] = [PYTHON, script]
    if has_uvloop(PYTHON):
        programs["uvloop"] = [PYTHON, script]
    else:
        print("uvloop: skipped, it is not installed")
    return programs


def run(name, command, count):
    """What the program prints, as name -> number."""
    arguments = command + [str(count)] + (["uvloop"] if name == "uvloop" else [])
    result = subprocess.run(
        arguments, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_TIMEOUT, preexec_fn=pin_to(CORE)
    )
    return {key: float(value) for key, value in (line.split() for line in result.stdout.splitlines())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="Meson build directory")
    parser.add_argument("--count", type=int, default=10_000, help="programs a round, by default %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    programs = find_programs(args.build)
    microseconds = collections.defaultdict(list)  # per program started, by round
    left = collections.Counter()
    for round_number in range(args.rounds):
        seconds = collections.Counter()
        started = collections.Counter()
        for turn in range(SLICES):
            for name in rotated(list(programs), turn):
                count = max(1, args.count // SLICES // (10 if name in SLOW else 1))
                try:
                    printed = run(name, programs[name], count)
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    sys.exit(f"spawn_bench: {error}")
                seconds[name] += printed["seconds"]
                started[name] += count
                left.update({key: printed[key] for key in ("descriptors", "children") if key in printed})
        for name in programs:
            microseconds[name].append(1e6 * seconds[name] / started[name])
        print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr, flush=True)

    rows = []
    for name, mine in microseconds.items():
        ratios = [value / base for value, base in zip(mine, microseconds["bare"])]
        rows.append([name, spread(mine, 0), spread(ratios)])
    title = f"Start /bin/true and wait for it; {args.count} a round, rounds: {args.rounds}"
    print_table(title, ["program", "us each (min-max)", "x bare (min-max)"], rows)
    print(f"\nleft by weft: {left['descriptors']:.0f} descriptors, {left['children']:.0f} children")
    if any(left.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
