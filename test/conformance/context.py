"""Rules 118 and 120: context variables, work in threads."""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading

from twin import *

variable = contextvars.ContextVar("variable", default=0)


async def rule_118():
    """a callback or task has the context of where it was scheduled; what a task changes is not seen outside"""
    loop = asyncio.get_running_loop()

    def show(where):
        trace(f"{where}: {variable.get()}")

    async def change():
        show("task begins")
        variable.set(2)
        await turns(2)
        show("task ends")
        await nested()
        show("after the coroutine it awaited")

    async def nested():
        variable.set(3)

    show("before")
    variable.set(1)
    task = loop.create_task(change())
    loop.call_soon(show, "callback")
    loop.call_later(0, show, "timer")
    future = loop.create_future()
    future.add_done_callback(lambda _: show("done-callback"))
    variable.set(10)
    show("creator")
    future.set_result(None)
    await task
    await turns(1)
    show("creator at the end")
    trace("-- a context of its own")
    context = contextvars.copy_context()
    context.run(variable.set, 20)
    loop.call_soon(show, "callback", context=context)
    await loop.create_task(change(), context=context)
    trace(f"kept in the context: {context[variable]}")
    show("creator")
    token = variable.set(30)
    variable.reset(token)
    show("reset")

    async def child():
        show("child")
        variable.set(4)

    await asyncio.gather(child(), child())
    async with asyncio.timeout(1):
        await child()
    show("after an awaited coroutine")


async def rule_120():
    """run_in_executor: cancelling a queued job drops it; a running one goes on and its result is dropped"""
    loop = asyncio.get_running_loop()
    started, release = threading.Event(), threading.Event()
    ran = []

    def work():
        started.set()
        release.wait()
        ran.append("running job")
        return "value"

    def queued():
        ran.append("queued job")

    def fail():
        raise ValueError("in a thread")

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        trace(await loop.run_in_executor(pool, lambda: "value"))
        trace(error_text(await error_of(loop.run_in_executor(pool, fail))))
        running = loop.run_in_executor(pool, work)
        dropped = loop.run_in_executor(pool, queued)
        started.wait()
        trace(f"cancel the queued one: {yes(dropped.cancel())}")
        trace(f"cancel the running one: {yes(running.cancel())}")
        trace(f"cancelled: {yes(dropped.cancelled())} {yes(running.cancelled())}")
        trace(await ending(running))
        await turns(2)
        release.set()
        await loop.run_in_executor(pool, lambda: None)
        trace(", ".join(ran))
    trace(f"still cancelled: {yes(running.cancelled())}")
    await loop.shutdown_default_executor()
    trace(ending_of_call(lambda: loop.run_in_executor(None, fail)))
