"""Rules 33, 34, 37 and 39 to 42: how a cancellation reaches a task."""

from __future__ import annotations

import time

from twin import *


async def rule_33():
    """cancel() while waiting cancels the awaited future at once; the task sees it in the next iteration"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def wait():
        try:
            await future
        except asyncio.CancelledError:
            trace("raised in the task")
            raise

    task = loop.create_task(wait())
    await turns(1)
    loop.call_soon(trace, "scheduled before")
    trace(f"cancel: {yes(task.cancel())}")
    trace(f"future cancelled: {yes(future.cancelled())}")
    trace(f"task done: {yes(task.done())}, cancelling: {task.cancelling()}")
    await turns(1)
    trace(f"task cancelled: {yes(task.cancelled())}")


async def rule_34():
    """cancel() while runnable is raised at the next step; that await drops the result, the future keeps it"""
    loop = asyncio.get_running_loop()

    async def wait(future):
        try:
            await future
            trace("got it")
        except asyncio.CancelledError:
            trace("raised in the task")
        return "went on"

    future = loop.create_future()
    task = loop.create_task(wait(future))
    await turns(1)
    future.set_result("result")
    trace(f"cancel: {yes(task.cancel())}")
    trace(await task)
    trace(f"future: {future.result()}")

    trace("-- an exception is due")
    future = loop.create_future()
    task = loop.create_task(wait(future))
    await turns(1)
    future.set_exception(ValueError("dropped"))
    task.cancel()
    trace(await task)
    trace(f"future: {error_text(future.exception())}")

    trace("-- it has just yielded")
    task = loop.create_task(wait(turns(1)))
    await turns(1)
    task.cancel()
    trace(await task)

    trace("-- it has just been created")
    task = loop.create_task(wait(turns(1)))
    task.cancel()
    trace(await ending(task))

    trace("-- its sleep has just ended")
    task = loop.create_task(wait(asyncio.sleep(0.001)))
    await turns(1)
    loop.call_later(0.012, task.cancel)
    time.sleep(0.02)  # both timers are due in the next iteration
    trace(await task)

    trace("-- the task it awaits has just ended")
    inner = loop.create_task(wait(turns(1)))
    inner.add_done_callback(lambda _: task.cancel())
    task = loop.create_task(wait(inner))
    trace(await task)
    trace(f"inner: {inner.result()}, cancelling: {inner.cancelling()}")


async def rule_37():
    """one delivery for each cancel(); two before the step are one exception and count two; uncancel takes one back"""
    loop = asyncio.get_running_loop()

    async def wait():
        for number in range(3):
            try:
                await sleep_ms(1000)
            except asyncio.CancelledError:
                trace(f"delivery {number}, cancelling: {asyncio.current_task().cancelling()}")
                if number == 0:
                    trace(f"uncancel: {asyncio.current_task().uncancel()}")
                    await turns(1)
                    trace("not again")
        return "value"

    task = loop.create_task(wait())
    await turns(1)
    task.cancel()
    task.cancel()
    trace(f"cancelling: {task.cancelling()}")
    await turns(3)
    task.cancel()
    await turns(1)
    task.cancel()
    trace(await task)


async def rule_39():
    """uncancel does not go below 0; at 0 a request that was not delivered is dropped"""
    loop = asyncio.get_running_loop()

    async def work():
        task = asyncio.current_task()
        trace(f"uncancel: {task.uncancel()}")
        task.cancel()
        trace(f"uncancel: {task.uncancel()}, cancelling: {task.cancelling()}")
        trace(await ending(turns(1)))
        task.cancel()
        task.cancel()
        trace(f"uncancel: {task.uncancel()}")
        trace(await ending(turns(1)))
        trace(f"uncancel: {task.uncancel()}, {task.uncancel()}")
        return "value"

    task = loop.create_task(work())
    trace(await task)
    trace(f"cancelled: {yes(task.cancelled())}")


async def rule_40():
    """cancelling a task cancels the task it awaits; that one may refuse, and the first goes on with its value"""
    loop = asyncio.get_running_loop()

    async def inner(refuses):
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            trace("inner: raised")
            if not refuses:
                raise
        return "value of inner"

    async def outer(task):
        try:
            value = await task
        except asyncio.CancelledError:
            trace("outer: raised")
            raise
        trace(f"outer: {value}, cancelling: {asyncio.current_task().cancelling()}")
        return "value of outer"

    for refuses in False, True:
        first = loop.create_task(inner(refuses))
        second = loop.create_task(outer(first))
        third = loop.create_task(outer(second))
        await turns(1)
        trace(f"cancel: {yes(third.cancel())}")
        trace(f"cancelling: {first.cancelling()} {second.cancelling()} {third.cancelling()}")
        trace(error_text(await error_of(third)))
        trace(f"cancelled: {yes(first.cancelled())} {yes(second.cancelled())} {yes(third.cancelled())}")


async def rule_41():
    """a task with a request due that awaits a new future has that future cancelled at once"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def work():
        asyncio.current_task().cancel()
        loop.call_soon(lambda: trace(f"future cancelled: {yes(future.cancelled())}"))
        await future

    task = loop.create_task(work())
    trace(await ending(task))
    trace("-- a future that is done is not awaited")
    done = loop.create_future()
    done.set_result("result")
    other = loop.create_future()

    async def work_on():
        asyncio.current_task().cancel()
        trace(await done)
        await other

    trace(await ending(loop.create_task(work_on())))
    trace(f"cancelled: {yes(other.cancelled())}")


async def rule_42():
    """the message of cancel() reaches the exception"""
    loop = asyncio.get_running_loop()

    async def wait(future):
        await future

    async def begun(future):
        task = loop.create_task(wait(future))
        await turns(1)
        return task

    trace("waiting")
    task = await begun(loop.create_future())
    task.cancel("message")
    trace(error_text(await error_of(task)))
    trace("without a message")
    task = await begun(loop.create_future())
    task.cancel()
    trace(error_text(await error_of(task)))
    trace("runnable")
    future = loop.create_future()
    task = await begun(future)
    future.set_result(None)
    task.cancel("message")
    trace(error_text(await error_of(task)))
    trace("runnable, twice")
    future = loop.create_future()
    task = await begun(future)
    future.set_result(None)
    task.cancel("first")
    task.cancel("second")
    trace(error_text(await error_of(task)))
    trace("before the first step, twice")
    task = loop.create_task(wait(future))
    task.cancel("first")
    task.cancel("second")
    trace(error_text(await error_of(task)))
    trace("waiting, twice")
    task = await begun(loop.create_future())
    task.cancel("first")
    task.cancel("second")
    trace(error_text(await error_of(task)))
    trace("the future itself")
    future = loop.create_future()
    task = await begun(future)
    future.cancel("of the future")
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")
    trace("through a task")
    inner = await begun(loop.create_future())
    task = await begun(inner)
    task.cancel("from outside")
    trace(error_text(await error_of(task)))
    trace(error_text(await error_of(inner)))
    trace("through gather, shield, wait_for and wait")
    outer = asyncio.gather(await begun(loop.create_future()), await begun(loop.create_future()))
    outer.cancel("of the gather")
    trace(error_text(await error_of(outer)))
    outer = asyncio.shield(await begun(loop.create_future()))
    outer.cancel("of the shield")
    trace(error_text(await error_of(outer)))
    inner = await begun(loop.create_future())
    outer = asyncio.shield(inner)
    inner.cancel("inside the shield")
    trace(error_text(await error_of(outer)))
    for waiting in asyncio.wait_for(loop.create_future(), 10), asyncio.wait([loop.create_future()]):
        task = await begun(waiting)
        await turns(1)
        task.cancel("while it waits")
        trace(error_text(await error_of(task)))
    trace("raised by the task itself")

    async def raises():
        asyncio.current_task().cancel("requested")
        raise asyncio.CancelledError("raised")

    trace(error_text(await error_of(loop.create_task(raises()))))
