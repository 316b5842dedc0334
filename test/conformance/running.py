"""Rules 12 to 22: what the loop refuses, close, interrupts, descriptors, signals, debug mode."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time

from twin import *


class Freed:
    """Tells when nothing holds it any more."""

    def __init__(self, what, freed):
        self.what, self.freed = what, freed

    def __call__(self):
        trace(f"{self.what} ran")

    def __del__(self):
        self.freed.append(self.what)


def rule_12(loop):
    """a loop cannot be entered again, nor another one inside it"""
    other = asyncio.new_event_loop()

    def callback():
        trace(f"running: {yes(loop.is_running())}")
        trace(error_of_call(loop.run_forever))
        trace(error_of_call(other.run_forever))
        future = loop.create_future()
        trace(error_of_call(lambda: loop.run_until_complete(future)))
        trace(f"still running: {yes(loop.is_running())}")

    loop.call_soon(callback)
    loop.stop()
    loop.run_forever()
    trace(f"running: {yes(loop.is_running())}")
    other.close()


def rule_13(loop):
    """run_until_complete on a loop that is stopped first is an error, and the task goes on later"""

    async def work():
        await turns(3)
        return "result"

    task = loop.create_task(work())
    loop.call_soon(loop.stop)
    trace(error_of_call(lambda: loop.run_until_complete(task)))
    trace(f"done: {yes(task.done())}")
    trace(loop.run_until_complete(task))


def rule_14(loop):
    """close() while running is an error; twice does nothing; afterwards nothing can be scheduled"""
    loop.call_soon(lambda: trace(error_of_call(loop.close)))
    loop.stop()
    loop.run_forever()
    future = loop.create_future()
    loop.close()
    loop.close()
    trace(f"closed: {yes(loop.is_closed())}")

    async def work():
        trace("never")

    trace(error_of_call(lambda: loop.call_soon(trace, "never")))
    trace(error_of_call(lambda: loop.call_later(0.01, trace, "never")))
    trace(error_of_call(lambda: loop.call_at(0, trace, "never")))
    trace(error_of_call(lambda: loop.call_soon_threadsafe(trace, "never")))
    trace(error_of_call(lambda: loop.create_task(work())))
    trace(error_of_call(loop.run_forever))
    trace(error_of_call(lambda: loop.run_until_complete(future)))


def rule_15(loop):
    """close() drops what is scheduled without running it, and frees it"""
    freed = []
    loop.call_soon(Freed("callback", freed))
    loop.call_later(0.01, Freed("timer", freed))
    trace(f"freed: {len(freed)}")
    loop.close()
    trace(f"freed: {', '.join(sorted(freed))}")


def rule_16(loop):
    """an exception in a callback goes to the exception handler, and the loop goes on"""

    def fail():
        raise ValueError("broken")

    loop.call_soon(fail)
    loop.call_soon(trace, "next")
    loop.call_later(0, fail)
    loop.stop()
    loop.run_forever()
    trace("-- a done-callback, and what is no ordinary error")

    def cancelled():
        raise asyncio.CancelledError("thrown")

    future = loop.create_future()
    future.add_done_callback(lambda _: fail())
    future.add_done_callback(lambda _: trace("the next one runs"))
    future.set_result(None)
    loop.call_soon(cancelled)
    loop.stop()
    loop.run_forever()


def rule_17(loop):
    """KeyboardInterrupt and SystemExit from a callback or a task leave the loop at once; it can be run again"""

    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(trace, "before")
    loop.call_soon(interrupt)
    loop.call_soon(trace, "after")
    trace(ending_of_call(loop.run_forever))
    trace(f"running: {yes(loop.is_running())}")
    loop.stop()
    loop.run_forever()

    async def leave():
        raise SystemExit(3)

    async def work():
        await turns(2)
        return "result"

    task = loop.create_task(leave())
    trace(error_of_call(lambda: loop.run_until_complete(task)))
    trace(f"done: {yes(task.done())}")
    trace(error_text(task.exception()))
    trace(error_of_call(lambda: loop.run_until_complete(leave())))
    trace(loop.run_until_complete(work()))


def rule_18(loop):
    """removing a watcher in the same iteration cancels its queued callback"""
    readable, writable = os.pipe()
    os.write(writable, b"x")
    loop.add_reader(readable, trace, "called")
    loop.call_soon(lambda: trace(f"removed: {yes(loop.remove_reader(readable))}"))
    for _ in range(2):
        loop.stop()
        loop.run_forever()
        trace("--")
    trace(f"removed again: {yes(loop.remove_reader(readable))}")
    os.close(readable)
    os.close(writable)


def rule_19(loop):
    """a second add_reader replaces the first; what the first had queued does not run"""
    readable, writable = os.pipe()
    os.write(writable, b"x")

    def new():
        os.read(readable, 1)
        trace("new")

    loop.add_reader(readable, trace, "old")
    loop.call_soon(loop.add_reader, readable, new)
    for _ in range(2):
        loop.stop()
        loop.run_forever()
        trace("--")
    loop.remove_reader(readable)
    os.close(readable)
    os.close(writable)


async def rule_20():
    """a signal's callback runs as an ordinary callback, not where the signal arrives"""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    def handle():
        trace("signal")
        arrived.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, handle)
    os.kill(os.getpid(), signal.SIGUSR1)
    trace("after kill")
    await arrived
    arrived = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, arrived.set_result, "the second handler only")
    os.kill(os.getpid(), signal.SIGUSR1)
    trace(await arrived)
    trace(f"removed: {yes(loop.remove_signal_handler(signal.SIGUSR1))}")
    trace(f"removed again: {yes(loop.remove_signal_handler(signal.SIGUSR1))}")
    trace(ending_of_call(lambda: loop.add_signal_handler(signal.SIGKILL, handle)))
    trace(ending_of_call(lambda: loop.add_signal_handler(0, handle)))


async def rule_21():
    """in debug mode scheduling from a wrong thread is an error; call_soon_threadsafe is not"""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    errors = []

    def work():
        errors.append(error_of_call(lambda: loop.call_soon(trace, "never")))
        errors.append(error_of_call(lambda: loop.call_later(0.01, trace, "never")))
        errors.append(error_of_call(lambda: loop.call_at(0, trace, "never")))
        errors.append(error_of_call(lambda: loop.call_soon_threadsafe(trace, "from another thread")))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in errors:
        trace(error)
    await turns(2)
    trace("-- without debug mode")
    loop.set_debug(False)
    errors.clear()
    thread = threading.Thread(target=lambda: errors.append(error_of_call(lambda: loop.call_soon(trace, "ran"))))
    thread.start()
    thread.join()
    trace(errors[0])
    await turns(2)


async def rule_22():
    """in debug mode a slow callback is logged with what it was, a fast one is not"""
    loop = asyncio.get_running_loop()
    lines = []

    class Collect(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    def block():
        time.sleep(0.01)

    async def work():
        block()

    def kinds():
        found = [re.match(r"Executing <(\w+).* took [\d.]+ seconds$", line, re.DOTALL) for line in lines]
        return {match[1] for match in found if match}

    handler = Collect()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        loop.slow_callback_duration = 0.005
        loop.call_soon(block)
        await turns(1)
        trace(f"without debug mode: {len(kinds())}")
        loop.set_debug(True)
        loop.slow_callback_duration = 10
        loop.call_soon(block)
        await turns(1)
        trace(f"fast: {len(kinds())}")
        loop.slow_callback_duration = 0.005
        loop.call_soon(block)
        await turns(1)
        trace(f"callback: {yes('Handle' in kinds())}")
        await loop.create_task(work())
        trace(f"task: {yes('Task' in kinds())}")
        loop.set_debug(False)
    finally:
        logger.removeHandler(handler)
