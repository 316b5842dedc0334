"""create_subprocess_exec and wait() in a loop: asyncio_spawn.py COUNT [uvloop]"""

import asyncio
import sys
import time


async def spawn(count):
    begin = time.monotonic()
    for _ in range(count):
        process = await asyncio.create_subprocess_exec("/bin/true")
        if await process.wait() != 0:
            sys.exit(1)
    print(f"seconds {time.monotonic() - begin:.6f}")


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.install()
asyncio.run(spawn(int(sys.argv[1])))
