"""Rules 23 to 30: futures, their callbacks, and errors nobody retrieves."""

from __future__ import annotations

import concurrent.futures
import threading

from twin import *


async def rule_23():
    """done-callbacks and task wake-ups run through the loop, in the order of registration"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def wait(number):
        await future
        trace(f"task {number}")

    waiting = [loop.create_task(wait(0)), loop.create_task(wait(1))]
    await turns(1)
    future.add_done_callback(lambda _: trace("callback"))
    waiting.append(loop.create_task(wait(2)))
    await turns(1)
    future.set_result(None)
    trace("set")
    loop.call_soon(trace, "scheduled after set")
    await asyncio.wait(waiting)


async def rule_24():
    """a callback added to a done future is scheduled, not called inline"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.set_result(1)
    loop.call_soon(trace, "scheduled before")
    future.add_done_callback(lambda done: trace(f"callback: {done.result()}"))
    trace("added")
    await turns(1)
    trace("next iteration")


async def rule_25():
    """awaiting a done future does not yield"""
    loop = asyncio.get_running_loop()

    async def work():
        return "task"

    task = loop.create_task(work())
    await turns(2)
    future = loop.create_future()
    future.set_result("future")
    failed = loop.create_future()
    failed.set_exception(ValueError("failed"))
    loop.call_soon(trace, "the loop went on")
    trace(await future)
    trace(await future)
    trace(await task)
    trace(error_text(await error_of(failed)))
    await turns(1)


async def rule_26():
    """a future is completed once; asked too early or of the wrong state it throws"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    trace(ending_of_call(future.result))
    trace(ending_of_call(future.exception))
    future.set_result(1)
    trace(ending_of_call(lambda: future.set_result(2)))
    trace(ending_of_call(lambda: future.set_exception(ValueError("late"))))
    trace(f"cancel: {yes(future.cancel())}")
    trace(f"result: {future.result()}, exception: {error_text(future.exception())}")
    cancelled = loop.create_future()
    trace(f"cancel: {yes(cancelled.cancel())}")
    trace(f"cancel: {yes(cancelled.cancel())}")
    trace(ending_of_call(lambda: cancelled.set_result(1)))
    trace(ending_of_call(lambda: cancelled.set_exception(ValueError("late"))))
    trace(ending_of_call(cancelled.result))
    trace(ending_of_call(cancelled.exception))
    trace(f"done: {yes(cancelled.done())}, cancelled: {yes(cancelled.cancelled())}")


async def rule_27():
    """callbacks may be added and removed while others are scheduled or run"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def first(_):
        trace("first")
        trace(f"removed: {future.remove_done_callback(second)}")
        future.add_done_callback(lambda _: trace("added by first"))

    def second(_):
        trace("second")

    def third(_):
        trace("third")

    future.add_done_callback(first)
    future.add_done_callback(second)
    future.add_done_callback(third)
    trace(f"removed: {future.remove_done_callback(third)}")
    trace(f"removed: {future.remove_done_callback(third)}")
    future.set_result(None)
    trace(f"removed: {future.remove_done_callback(second)}")
    await turns(2)


async def rule_28():
    """an exception nobody retrieves is reported once, when the last handle goes; looking at it or cancel() silences"""
    loop = asyncio.get_running_loop()

    def failed():
        future = loop.create_future()
        future.set_exception(ValueError("lost"))
        return future

    trace("dropped")
    future = failed()
    copy = future
    del future
    collect()
    trace("one handle left")
    del copy
    collect()
    trace("result")
    future = failed()
    trace(error_of_call(future.result))
    del future
    collect()
    trace("exception")
    future = failed()
    trace(error_text(future.exception()))
    del future
    collect()
    trace("cancel")
    future = failed()
    trace(f"cancel: {yes(future.cancel())}")
    del future
    collect()
    trace("await")
    future = failed()
    trace(error_text(await error_of(future)))
    del future
    collect()

    async def fail():
        raise ValueError("lost by a task")

    trace("task")
    task = loop.create_task(fail())
    await turns(2)
    del task
    collect()
    trace("end")


async def rule_29():
    """wrap_future: results cross; cancelling either side cancels the other"""
    loop = asyncio.get_running_loop()

    def in_thread(function):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    trace("result")
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source)
    in_thread(lambda: source.set_result("from a thread"))
    trace(f"done before the loop went round: {yes(wrapped.done())}")
    trace(await wrapped)
    trace("exception")
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source)
    in_thread(lambda: source.set_exception(ValueError("from a thread")))
    trace(error_text(await error_of(wrapped)))
    trace("cancel the wrapper")
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source)
    wrapped.cancel()
    await turns(2)
    trace(f"source cancelled: {yes(source.cancelled())}")
    trace("cancel the source")
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source)
    in_thread(source.cancel)
    trace(await ending(wrapped))
    trace(f"wrapper cancelled: {yes(wrapped.cancelled())}")
    trace("set after the loop is closed")
    other = asyncio.new_event_loop()
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source, loop=other)
    other.close()
    trace(error_of_call(lambda: source.set_result("late")))
    trace(f"wrapper done: {yes(wrapped.done())}")


def rule_30(loop):
    """a future of another loop cannot be awaited: RuntimeError in the task"""
    other = asyncio.new_event_loop()
    future = other.create_future()
    done = other.create_future()
    done.set_result("done")

    async def wait():
        try:
            await future
        except RuntimeError as error:
            trace(error_type(error))
            trace(f"says why: {yes('attached to a different loop' in str(error))}")
        trace(f"future done: {yes(future.done())}")
        trace(await done)
        return "went on"

    trace(loop.run_until_complete(wait()))
    other.close()
