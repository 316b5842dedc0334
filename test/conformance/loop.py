"""Rules 1 to 11: iterations, scheduling, timers, stop."""

from __future__ import annotations

import os
import threading
import time

from twin import *


def rule_1(loop):
    """a callback scheduled by a callback runs in the next iteration, after another poll"""

    def first():
        trace("first")
        loop.call_soon(trace, "scheduled by first")

    loop.call_soon(first)
    loop.call_soon(trace, "second")
    for _ in range(2):
        loop.stop()
        loop.run_forever()  # one iteration
        trace("--")

    readable, writable = os.pipe()
    waited = 0

    def count():
        nonlocal waited
        waited += 1
        loop.call_soon(count)

    def arrived():
        os.read(readable, 1)
        trace(f"I/O within 61 iterations: {yes(waited <= 61)}")
        loop.stop()

    loop.add_reader(readable, arrived)
    loop.call_soon(os.write, writable, b"x")
    loop.call_soon(count)
    loop.run_forever()
    loop.remove_reader(readable)
    os.close(readable)
    os.close(writable)


def rule_2(loop):
    """what is ready precedes I/O, and I/O precedes due timers"""
    readable, writable = os.pipe()
    os.write(writable, b"x")
    loop.call_at(loop.time() - 1, trace, "timer")
    loop.add_reader(readable, trace, "I/O")
    loop.call_soon(trace, "ready")
    loop.stop()
    loop.run_forever()
    loop.remove_reader(readable)
    os.close(readable)
    os.close(writable)


async def rule_3():
    """call_soon is a strict FIFO across callbacks, futures and tasks"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def wait():
        await future
        trace("task that waited")

    async def work():
        trace("new task")

    waiting = loop.create_task(wait())
    await turns(1)
    future.add_done_callback(lambda _: trace("done-callback"))
    loop.call_soon(trace, "first")
    future.set_result(None)
    loop.call_soon(trace, "second")
    working = loop.create_task(work())
    loop.call_soon(trace, "third")
    await turns(2)
    await waiting
    await working


def rule_4(loop):
    """call_soon_threadsafe shares the FIFO of call_soon and wakes a loop that waits"""
    loop.call_soon(trace, "soon")
    loop.call_soon_threadsafe(trace, "threadsafe, from the loop's thread")
    loop.call_soon(trace, "soon again")

    def work():
        time.sleep(0.01)
        for number in range(3):
            loop.call_soon_threadsafe(trace, f"from another thread: {number}")
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()

    def from_a_thread_that_ends():
        ended = threading.Thread(target=lambda: loop.call_soon_threadsafe(trace, "from a thread that has ended"))
        ended.start()
        ended.join()
        loop.call_soon(trace, "scheduled after it ended")
        loop.call_soon(loop.stop)

    loop.call_soon(from_a_thread_that_ends)
    loop.run_forever()


def rule_5(loop):
    """call_later(0) runs after everything that is ready already"""
    loop.call_later(0, trace, "later")

    def ready():
        trace("ready")
        loop.call_soon(trace, "scheduled by ready")
        loop.call_soon(loop.stop)

    loop.call_soon(ready)
    loop.call_soon(trace, "ready too")
    loop.run_forever()


def rule_6(loop):
    """a timer is not early"""
    when = loop.time() + 0.01

    def due():
        trace(f"early: {yes(loop.time() < when - time.get_clock_info('monotonic').resolution)}")
        loop.stop()

    handle = loop.call_at(when, due)
    trace(f"due when asked for: {yes(handle.when() == when)}")
    loop.run_forever()


def rule_7(loop):
    """timers with equal deadlines fire in the order they were scheduled, others by deadline"""
    now = loop.time()
    loop.call_at(now - 1, trace, "third")
    loop.call_at(now - 3, trace, "first")
    loop.call_at(now - 2, trace, "second")
    for number in range(12):
        loop.call_at(now - 0.5, trace, f"equal {number}")
    loop.stop()
    loop.run_forever()


def rule_8(loop):
    """a negative delay runs soon and is no error"""
    loop.call_later(-1, trace, "one second ago")
    loop.call_later(-3600, trace, "one hour ago")
    loop.call_soon(trace, "soon")
    loop.stop()
    loop.run_forever()


def rule_9(loop):
    """cancelled timers never run, however many; the others keep their order"""
    now = loop.time()
    ran = []
    timers = [loop.call_at(now - 1 + number / 1000, ran.append, number) for number in range(400)]
    for number, timer in enumerate(timers):
        if number % 4:
            timer.cancel()
    loop.stop()
    loop.run_forever()
    trace(f"{len(ran)} ran")
    trace(f"in order: {yes(ran == list(range(0, 400, 4)))}")
    trace(f"cancelled: {sum(timer.cancelled() for timer in timers)}")


def rule_10(loop):
    """a timer or callback cancelled by an earlier callback of the same iteration does not run"""
    now = loop.time()

    def first():
        trace("first")
        second.cancel()
        second.cancel()
        trace(f"cancelled: {yes(second.cancelled())}")

    loop.call_at(now - 2, first)
    second = loop.call_at(now - 1, trace, "second")
    loop.call_soon(lambda: ready.cancel())
    ready = loop.call_soon(trace, "ready")
    loop.stop()
    loop.run_forever()
    trace("ran")
    done = loop.call_soon(trace, "not cancelled")
    loop.stop()
    loop.run_forever()
    done.cancel()
    trace(f"cancelled after it ran: {yes(done.cancelled())}")


def rule_11(loop):
    """stop() lets the current iteration finish; before a run it makes it exactly one iteration"""

    def first():
        trace("a")
        loop.call_soon(trace, "b")

    loop.call_soon(first)
    loop.stop()
    loop.run_forever()
    trace("-- again")
    loop.stop()
    loop.run_forever()
    trace("-- stop inside")

    def stop():
        loop.stop()
        loop.call_soon(trace, "scheduled after stop")

    loop.call_soon(stop)
    loop.call_soon(trace, "same iteration")
    loop.run_forever()
    trace("-- left")
    loop.stop()
    loop.run_forever()
