"""What the Python twins share, and their program: `twin.py RULE...` prints the trace of each rule named.

A twin is a function `rule_N` of one of the SECTIONS; its first line of documentation says what it pins, in the same
words as its C++ twin's TWIN(N, "..."). A coroutine function runs as the main task of a new loop, a plain function gets
a new loop. What reaches the loop's exception handler is part of the trace. twin.hpp is the other side; the helpers have
the same names and give the same words there.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import re
import sys

SECTIONS = ("loop", "running", "futures", "tasks", "cancelling", "combinators", "waiting", "timeouts",
            "task_group", "group_errors", "sync", "queues", "runner", "context")

_lines: list[str] = []


def trace(line: object) -> None:
    """Adds a line to the trace of the rule that runs."""
    _lines.append(str(line))


def yes(value: object) -> str:
    return "yes" if value else "no"


def error_type(error: BaseException | None) -> str:
    """The type's name: "TimeoutError"; "ok" for none. C++ has one type for groups of any errors."""
    if error is None:
        return "ok"
    return "ExceptionGroup" if isinstance(error, BaseExceptionGroup) else type(error).__name__


def error_text(error: BaseException | None) -> str:
    """The type and the message, if there is one."""
    message = "" if error is None else str(error)
    return f"{error_type(error)}: {message}" if message else error_type(error)


def group_text(error: BaseException | None) -> str:
    """The same, of a group with the errors in it: "ExceptionGroup: message [ValueError: 1, ValueError: 2]"."""
    if not isinstance(error, BaseExceptionGroup):
        return error_text(error)
    return f"ExceptionGroup: {error.message} [{', '.join(group_text(inner) for inner in error.exceptions)}]"


def error_of_call(function) -> str:
    """How a plain call ends: what it raised, or "ok"."""
    try:
        function()
    except BaseException as error:
        return error_text(error)
    return "ok"


def ending_of_call(function) -> str:
    """The same without the message."""
    return error_of_call(function).partition(":")[0]


async def error_of(awaitable) -> BaseException | None:
    """The error that an await ends with, or None."""
    try:
        await awaitable
    except BaseException as error:
        return error
    return None


async def ending(awaitable) -> str:
    """How an await ends: the type of its error, or "ok"."""
    return error_type(await error_of(awaitable))


async def turns(count: int) -> None:
    """Lets the loop go round `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def sleep_ms(milliseconds: float) -> None:
    await asyncio.sleep(milliseconds / 1000)


def collect() -> None:
    """Ends what nothing refers to any more; C++ needs no such call."""
    gc.collect()


def require(place: object, name: str) -> None:
    """Ends the rule here if this Python does not have `name` yet."""
    if not hasattr(place, name):
        raise _Lacking(name)


class _Lacking(Exception):
    pass


def report(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """The exception handler of every twin. Messages lose what names objects, private classes and the module."""
    message = re.sub(r"^Exception in callback .*", "Exception in callback", context["message"], flags=re.DOTALL)
    message = message.replace("asyncio.", "").replace("_GatheringFuture", "Future")
    trace(f"report: {message}: {group_text(context.get('exception'))}")


def run(rule) -> None:
    if inspect.iscoroutinefunction(rule):
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(report)
            runner.run(rule())
        return
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(report)
    try:
        rule(loop)
    finally:
        loop.close()


def main() -> None:
    rules = {}
    for section in SECTIONS:
        module = importlib.import_module(section)
        rules.update((int(name[5:]), function) for name, function in vars(module).items() if name.startswith("rule_"))
    for number in map(int, sys.argv[1:]):
        _lines.clear()
        try:
            run(rules[number])
        except _Lacking as lacking:
            trace(f"(this Python has no {lacking})")
        except BaseException as error:
            trace(f"unexpected {error_text(error)}")
        gc.collect()
        print(f"== {number}", *_lines, sep="\n", flush=True)


if __name__ == "__main__":
    # The sections import this module by its name: one and the same.
    sys.modules["twin"] = sys.modules["__main__"]
    main()
