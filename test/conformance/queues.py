"""Rules 92 and 93: queues."""

from __future__ import annotations

from twin import *


async def rule_92():
    """Queue: a getter cancelled in the step it was woken leaves the item, and the next getter is woken"""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()

    async def get(name):
        trace(f"{name} got {await queue.get()}")

    first, second = loop.create_task(get("first")), loop.create_task(get("second"))
    await turns(1)
    queue.put_nowait("item")
    first.cancel()
    await turns(3)
    trace(f"{yes(first.cancelled())} {yes(second.done())}, size: {queue.qsize()}")
    trace("-- nobody else waits")
    first = loop.create_task(get("first"))
    await turns(1)
    queue.put_nowait("item")
    first.cancel()
    await turns(2)
    trace(f"{yes(first.cancelled())}, size: {queue.qsize()}, {queue.get_nowait()}")
    trace("-- a putter")
    queue = asyncio.Queue(1)
    queue.put_nowait("one")

    async def put(item):
        await queue.put(item)
        trace(f"put {item}")

    first, second = loop.create_task(put("two")), loop.create_task(put("three"))
    await turns(1)
    trace(queue.get_nowait())
    first.cancel()
    await turns(3)
    trace(f"{yes(first.cancelled())} {yes(second.done())}, size: {queue.qsize()}, {queue.get_nowait()}")


async def rule_93():
    """Queue: putters in order; task_done too often; join; the other orders; shutdown"""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(1)

    async def put(item):
        await queue.put(item)
        trace(f"put {item}")

    putters = [loop.create_task(put(item)) for item in ("a", "b", "c")]
    await turns(1)
    trace(f"full: {yes(queue.full())}, {ending_of_call(lambda: queue.put_nowait('d'))}")
    for _ in range(3):
        trace(f"got {await queue.get()}")
        await turns(2)
    trace(f"empty: {yes(queue.empty())}, {ending_of_call(queue.get_nowait)}")
    await asyncio.wait(putters)
    trace("-- join")

    async def join():
        await queue.join()
        trace("joined")

    joining = loop.create_task(join())
    for _ in range(3):
        await turns(1)
        trace("task_done")
        queue.task_done()
    await joining
    trace(error_of_call(queue.task_done))
    loop.call_soon(trace, "the loop went on")
    await queue.join()
    trace("joined at once")
    await turns(1)
    trace("-- other orders")
    for other in asyncio.LifoQueue(), asyncio.PriorityQueue():
        for item in 2, 3, 1:
            other.put_nowait(item)
        trace(" ".join(str(other.get_nowait()) for _ in range(3)))
    trace("-- shutdown")
    require(asyncio, "QueueShutDown")
    queue = asyncio.Queue(1)
    queue.put_nowait("last")
    putter = loop.create_task(put("never"))
    await turns(1)
    queue.shutdown()
    trace(await ending(putter))
    trace(await ending(queue.put("never")))
    trace(await queue.get())
    trace(await ending(queue.get()))
    queue.task_done()
    await queue.join()
    trace("joined")
    queue = asyncio.Queue()

    async def get():
        await queue.get()

    getter = loop.create_task(get())
    await turns(1)
    queue.shutdown()
    trace(await ending(getter))
    trace("-- immediate")
    queue = asyncio.Queue()
    queue.put_nowait("dropped")
    joining = loop.create_task(join())
    await turns(1)
    queue.shutdown(immediate=True)
    await joining
    trace(f"size: {queue.qsize()}, {ending_of_call(queue.get_nowait)}")
