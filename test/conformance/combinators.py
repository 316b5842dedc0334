"""Rules 49 to 55: gather and shield."""

from __future__ import annotations

from twin import *


async def value_after(count, value):
    """A coroutine that gives a value after some iterations."""
    try:
        await turns(count)
    except asyncio.CancelledError:
        trace(f"{value} cancelled")
        raise
    trace(f"{value} ends")
    return value


async def error_after(count, message):
    try:
        await turns(count)
    except asyncio.CancelledError:
        trace(f"{message} cancelled")
        raise
    trace(f"{message} fails")
    raise ValueError(message)


async def rule_49():
    """gather: the first error is raised at once, siblings go on, later errors are consumed silently"""
    loop = asyncio.get_running_loop()
    good = loop.create_task(value_after(6, "good"))
    later = loop.create_task(error_after(4, "later error"))
    first = loop.create_task(error_after(2, "first error"))
    outer = asyncio.gather(good, later, first)
    trace(error_text(await error_of(outer)))
    trace(f"good done: {yes(good.done())}, later done: {yes(later.done())}")
    trace(await good)
    del first, later, outer
    collect()
    trace("-- both in one iteration")
    trace(error_text(await error_of(asyncio.gather(error_after(1, "a"), error_after(1, "b")))))
    collect()
    trace("-- nobody looks at the gather")
    asyncio.gather(error_after(1, "unseen"), value_after(3, "other"))
    await turns(5)
    collect()
    trace("-- in order")
    trace(", ".join(await asyncio.gather(value_after(3, "x"), value_after(1, "y"), value_after(2, "z"))))


async def rule_50():
    """gather: a cancelled child is a CancelledError out of it; the outer is not cancelled, siblings go on"""
    loop = asyncio.get_running_loop()
    sibling = loop.create_task(value_after(4, "sibling"))
    child = loop.create_task(value_after(100, "child"))
    outer = asyncio.gather(sibling, child)
    await turns(1)
    trace(f"cancel: {yes(child.cancel('child only'))}")
    trace(error_text(await error_of(outer)))
    trace(f"outer done: {yes(outer.done())}, cancelled: {yes(outer.cancelled())}")
    trace(f"child cancelled: {yes(child.cancelled())}, sibling done: {yes(sibling.done())}")
    trace(await sibling)


async def rule_51():
    """cancelling a gather cancels every pending child; it ends when all have ended, cancelled even if they refuse"""
    loop = asyncio.get_running_loop()

    async def slow():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            await turns(3)
            trace("slow cleaned up")
            raise

    async def refuse():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            trace("refused")
        return None

    for return_exceptions in False, True:
        trace("-- as values" if return_exceptions else "-- as errors")
        first = loop.create_task(slow())
        second = loop.create_task(refuse())
        outer = asyncio.gather(first, second, return_exceptions=return_exceptions)
        await turns(1)
        trace(f"cancel: {yes(outer.cancel())}")
        trace(f"outer done: {yes(outer.done())}")
        error = await error_of(outer)
        trace(error_type(error))
        trace(f"first done: {yes(first.done())}, cancelled: {yes(first.cancelled())}")
        trace(f"second done: {yes(second.done())}, cancelled: {yes(second.cancelled())}")
        trace(f"outer cancelled: {yes(outer.cancelled())}, cancel: {yes(outer.cancel())}")

    trace("-- all children done, the gather not yet")
    futures = [loop.create_future(), loop.create_future()]
    outer = asyncio.gather(*futures)
    for future in futures:
        future.set_result("value")
    trace(f"cancel: {yes(outer.cancel())}, done: {yes(outer.done())}")
    trace(", ".join(await outer))
    trace("-- one child done")
    futures = [loop.create_future(), loop.create_future()]
    outer = asyncio.gather(*futures, return_exceptions=True)
    futures[0].set_result("value")
    trace(f"cancel: {yes(outer.cancel('message'))}")
    trace(error_text(await error_of(outer)))
    trace("-- by the task that awaits it")

    async def wait():
        await asyncio.gather(slow(), value_after(100, "other"))

    task = loop.create_task(wait())
    await turns(2)
    task.cancel()
    trace(await ending(task))
    trace(f"cancelled: {yes(task.cancelled())}")


async def rule_52():
    """gather with return_exceptions: errors and cancellations are values of the result"""
    loop = asyncio.get_running_loop()
    child = loop.create_task(value_after(100, "child"))
    outer = asyncio.gather(value_after(2, "value"), error_after(1, "error"), child, return_exceptions=True)
    await turns(1)
    child.cancel("message")
    value, error, cancelled = await outer
    trace(value)
    trace(error_text(error))
    trace(error_text(cancelled))
    trace(f"outer cancelled: {yes(outer.cancelled())}")


async def rule_53():
    """gather: an argument that is there twice is awaited once and gives its result twice"""
    loop = asyncio.get_running_loop()
    task = loop.create_task(value_after(1, "value"))
    other = loop.create_task(value_after(2, "other"))
    trace(", ".join(await asyncio.gather(task, other, task)))


async def rule_54():
    """gather of nothing is done at once"""
    loop = asyncio.get_running_loop()
    outer = asyncio.gather()
    loop.call_soon(trace, "the loop went on")
    trace(f"done: {yes(outer.done())}")
    await outer
    trace("awaited")
    await turns(1)
    trace("-- of what is done")
    future = loop.create_future()
    future.set_result("value")
    outer = asyncio.gather(future)
    trace(", ".join(await outer))


async def rule_55():
    """shield: cancelling the outer future leaves the inner one; cancelling the inner one cancels the outer"""
    loop = asyncio.get_running_loop()
    inner = loop.create_task(value_after(3, "inner"))
    outer = asyncio.shield(inner)
    await turns(1)
    trace(f"cancel: {yes(outer.cancel())}")
    trace(f"outer cancelled: {yes(outer.cancelled())}, inner done: {yes(inner.done())}")
    trace(await inner)

    trace("-- by the task that awaits it")
    inner = loop.create_task(value_after(4, "inner"))

    async def wait():
        await asyncio.shield(inner)

    task = loop.create_task(wait())
    await turns(2)
    task.cancel()
    trace(await ending(task))
    trace(f"inner cancelled: {yes(inner.cancelled())}")
    trace(await inner)

    trace("-- inner cancelled")
    inner = loop.create_task(value_after(100, "inner"))
    outer = asyncio.shield(inner)
    await turns(1)
    inner.cancel()
    trace(await ending(outer))
    trace(f"outer cancelled: {yes(outer.cancelled())}")

    trace("-- results and errors pass")
    trace(await asyncio.shield(value_after(1, "value")))
    trace(error_text(await error_of(asyncio.shield(error_after(1, "error")))))
    done = loop.create_future()
    trace(f"a done future is itself: {yes(done.set_result(1) or asyncio.shield(done) is done)}")

    trace("-- inner fails after the outer was cancelled")
    inner = loop.create_task(error_after(2, "late"))
    outer = asyncio.shield(inner)
    await turns(1)
    outer.cancel()
    del inner
    await turns(4)
    collect()

    trace("-- in a gather")
    inner = loop.create_task(value_after(5, "inner"))
    outer = asyncio.gather(asyncio.shield(inner), value_after(100, "sibling"))
    await turns(1)
    outer.cancel()
    trace(await ending(outer))
    trace(await inner)
