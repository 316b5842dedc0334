"""Rules 31, 32, 35, 36, 38 and 43 to 48: tasks from their first step to their end."""

from __future__ import annotations

import weakref

from twin import *


async def rule_31():
    """the body does not start inside create_task"""
    loop = asyncio.get_running_loop()

    async def work():
        trace("body")
        return "value"

    task = loop.create_task(work())
    trace("created")
    loop.call_soon(trace, "scheduled later")
    trace(f"done: {yes(task.done())}")
    trace(await task)
    trace(f"done: {yes(task.done())}")


async def rule_32():
    """a task cancelled before its first step never runs its body"""
    loop = asyncio.get_running_loop()

    async def work():
        trace("never")

    task = loop.create_task(work())
    trace(f"cancel: {yes(task.cancel('too early'))}")
    trace(f"done: {yes(task.done())}, cancelling: {task.cancelling()}")
    trace(error_text(await error_of(task)))
    trace(f"done: {yes(task.done())}, cancelled: {yes(task.cancelled())}")
    trace(f"cancel: {yes(task.cancel())}")


async def rule_35():
    """a task that cancels itself and then returns ends cancelled"""
    loop = asyncio.get_running_loop()

    async def work():
        trace(f"cancel: {yes(asyncio.current_task().cancel('myself'))}")
        trace("still running")
        return "value"

    async def fail():
        asyncio.current_task().cancel()
        raise ValueError("instead")

    task = loop.create_task(work())
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}")
    task = loop.create_task(fail())
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}")


async def rule_36():
    """a task that catches CancelledError and returns is done, not cancelled; it may wait and fail meanwhile"""
    loop = asyncio.get_running_loop()

    async def refuse():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            trace("caught")
        await turns(1)
        trace(f"cancelling: {asyncio.current_task().cancelling()}")
        return "value"

    async def fail():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            raise ValueError("in the cleanup")

    task = loop.create_task(refuse())
    await turns(1)
    task.cancel()
    trace(await task)
    trace(f"cancelled: {yes(task.cancelled())}")
    task = loop.create_task(fail())
    await turns(1)
    task.cancel()
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}")


async def rule_38():
    """cancel() of a done task is refused, changes nothing and counts as having seen its exception"""
    loop = asyncio.get_running_loop()

    async def work():
        return "value"

    async def fail():
        raise ValueError("silenced")

    task = loop.create_task(work())
    await task
    trace(f"cancel: {yes(task.cancel())}, cancelling: {task.cancelling()}")
    trace(task.result())
    task = loop.create_task(fail())
    await turns(2)
    trace(f"cancel: {yes(task.cancel())}, cancelled: {yes(task.cancelled())}")
    del task
    collect()
    trace("no report")


async def rule_43():
    """a task cannot await itself"""
    loop = asyncio.get_running_loop()

    async def work():
        try:
            await task
        except RuntimeError as error:
            trace(error_text(error).partition(": <")[0].partition(": Task-")[0])
        return "went on"

    task = loop.create_task(work())
    trace(await task)


async def rule_44():
    """sleep(0) yields exactly one iteration; a sleep that is cancelled is over at once"""
    loop = asyncio.get_running_loop()

    def count():
        nonlocal iterations
        iterations += 1
        if iterations < 100:
            loop.call_soon(count)

    for delay in 0, -1:
        iterations = 0
        loop.call_soon(count)
        await asyncio.sleep(delay)
        trace(f"iterations in sleep({delay}): {iterations}")
        await asyncio.sleep(delay)
        trace(f"and again: {iterations}")
        iterations = 100
        await turns(1)

    async def wait():
        await asyncio.sleep(3600)

    task = loop.create_task(wait())
    await turns(1)
    task.cancel()
    trace(await ending(task))
    trace(await asyncio.sleep(0.001, "result"))
    trace(await asyncio.sleep(0, "result at once"))


async def rule_45():
    """current_task is right across interleaving, and nothing in callbacks"""
    loop = asyncio.get_running_loop()

    def name():
        task = asyncio.current_task()
        return task.get_name() if task else "nothing"

    async def work():
        trace(f"in a task: {name()}")
        await turns(1)
        trace(f"in a task: {name()}")
        await inner()

    async def inner():
        trace(f"in a coroutine of a task: {name()}")

    first = loop.create_task(work(), name="A")
    second = loop.create_task(work(), name="B")
    loop.call_soon(lambda: trace(f"in a callback: {name()}"))
    second.add_done_callback(lambda _: trace(f"in a done-callback: {name()}"))
    await first
    await second
    await turns(1)
    first.set_name("renamed")
    trace(first.get_name())
    trace(f"before and after: {yes(asyncio.current_task() is asyncio.current_task(loop))}")


def rule_46(loop):
    """the loop owns a pending task; it is reported and destroyed when the loop closes"""

    async def wait():
        try:
            await loop.create_future()
        finally:
            trace("destroyed")

    task = loop.create_task(wait())
    loop.stop()
    loop.run_forever()
    weak = weakref.ref(task)
    trace("dropped")
    del task
    collect()
    trace(f"alive: {yes(weak())}")
    loop.close()
    trace("closed")


async def rule_47():
    """an eager task runs before create_task returns; if it suspends it becomes an ordinary one"""
    require(asyncio, "eager_task_factory")
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)

    async def at_once():
        trace(f"in a task of its own: {yes(asyncio.current_task() is not main)}")
        return "value"

    async def later():
        trace("first step")
        await turns(1)
        trace("second step")
        return "value"

    async def fail():
        raise ValueError("at once")

    main = asyncio.current_task()
    task = loop.create_task(at_once())
    trace(f"done: {yes(task.done())}, {task.result()}")
    trace(f"back in this one: {yes(asyncio.current_task() is main)}")
    trace(f"cancel: {yes(task.cancel())}, cancelled: {yes(task.cancelled())}")
    task = loop.create_task(later())
    loop.call_soon(trace, "scheduled after it suspended")
    trace(f"done: {yes(task.done())}, listed: {yes(task in asyncio.all_tasks())}")
    trace(await task)
    task = loop.create_task(fail())
    trace(f"done: {yes(task.done())}, {error_text(task.exception())}")
    task = loop.create_task(later())
    task.cancel()
    trace(await ending(task))


async def rule_48():
    """all_tasks has the tasks that are not done"""
    loop = asyncio.get_running_loop()
    asyncio.current_task().set_name("main")

    async def wait():
        await future

    async def rest():
        await sleep_ms(1000)

    def names():
        return " ".join(sorted(task.get_name() for task in asyncio.all_tasks()))

    future = loop.create_future()
    first = loop.create_task(wait(), name="A")
    trace(f"not started: {names()}")
    await turns(1)
    second = loop.create_task(rest(), name="B")
    await turns(1)
    trace(f"waiting: {names()}")
    second.cancel()
    trace(f"cancel requested: {names()}")
    await turns(1)
    trace(f"cancelled: {names()}")
    future.set_result(None)
    await first
    trace(f"done: {names()}")
