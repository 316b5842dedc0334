#!/usr/bin/env python3
"""Wrong uses of the library do not compile, and the message says what to write instead.

    misuse_test.py --include DIRECTORY -- COMPILER...
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import typing

PROLOGUE = """\
#include <weft/weft.hpp>
using namespace weft;
using namespace std::chrono_literals;
Coro<int> work() { co_return 1; }
"""


class Misuse(typing.NamedTuple):
    what: str
    code: str  # the body of a coroutine
    message: str
    only_gcc12: bool = False


MISUSES = [
    Misuse("a Coro awaited by name", "Coro<int> coro = work(); co_await coro;", "write `co_await std::move(coro)`"),
    Misuse("a Coro dropped", "work();", "a Coro does nothing until it is awaited"),
    Misuse("create_task of a function that is no coroutine", "create_task([] { return 1; });",
           "create_task needs a coroutine"),
    Misuse("create_task of a value", "create_task(42);", "create_task needs a coroutine"),
    Misuse("set_result of the wrong type",
           'Future<int> f = get_running_loop().create_future<int>(); f.set_result("text");',
           "set_result: the value does not convert to the future's type"),
    Misuse("set_result of a task", "Task<int> t = create_task(work()); t.set_result(1);", "deleted"),
    Misuse("co_await of what cannot be awaited", "co_await 42;", "co_await needs a Coro, a Future, a Task"),
    Misuse("wait for coroutines", "std::vector<Coro<int>> coros; co_await wait(coros);",
           "wait needs tasks or futures"),
    Misuse("run_in_executor with the wrong arguments",
           "co_await get_running_loop().run_in_executor(nullptr, [](int) {}, std::string());",
           "run_in_executor: the function cannot be called with these arguments"),
    Misuse("a connection handler that gives a value",
           'co_await start_server([](StreamReader, StreamWriter) -> Coro<int> { co_return 1; }, "", 0);',
           "the connection callback is a Coro<> or a plain function"),
    Misuse("a coroutine as a signal handler",
           "get_running_loop().add_signal_handler(2, []() -> Coro<> { co_return; });",
           "coroutines cannot be callbacks"),
    Misuse("a generator of references", "AsyncGenerator<int&> g;", "gives values, not references"),
    Misuse("run_until_complete of a value", "get_running_loop().run_until_complete(1);",
           "run_until_complete needs a Coro, a Future, a Task"),
    Misuse("a temporary lambda with captures that g++ 12 destroys twice",
           "std::string s; co_await timeout(1s, [s]() -> Coro<> { co_return; });",
           "g++ 12 destroys the captures of this temporary lambda twice", True),
    Misuse("the same in to_thread", "std::string s; co_await to_thread([s] { return s; });",
           "g++ 12 destroys the captures of this temporary lambda twice", True),
]  # fmt: skip


def compiled(compiler: list[str], include: str, folder: str, name: str, code: str) -> subprocess.CompletedProcess:
    source = pathlib.Path(folder, name + ".cpp")
    source.write_text(PROLOGUE + "Coro<> misuse() {\n    " + code + "\n    co_return;\n}\n", encoding="utf-8")
    command = [*compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", include, str(source)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--include", required=True)
    parser.add_argument("compiler", nargs="+")
    args = parser.parse_args()
    version = subprocess.run([*args.compiler, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True,
                             check=True).stdout  # fmt: skip
    gcc12 = "__clang__" not in version and "#define __GNUC__ 12" in version
    cases = [case for case in MISUSES if gcc12 or not case.only_gcc12]
    failed = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        run = lambda item: compiled(args.compiler, args.include, folder, f"case{item[0]}", item[1])
        right, *results = pool.map(run, enumerate(["co_await work();", *[case.code for case in cases]]))
        if right.returncode != 0:
            print(f"the right use does not compile:\n{right.stderr}")
            return 1
        for case, result in zip(cases, results):
            if result.returncode != 0 and case.message in result.stderr:
                continue
            failed += 1
            why = "it compiles" if result.returncode == 0 else "the message is another:\n" + result.stderr[:4000]
            print(f"{case.what}: {why}")
    print(f"[doctest] test cases: {len(cases)} | {len(cases) - failed} passed | {failed} failed | 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
