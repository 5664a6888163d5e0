"""`python -m mininet_labs.attacks.guess --address A --port N --rate R`: guesses passwords until it is ended.

Every try is a connection of its own, begun on time whatever became of the ones before: a target that stops answering
goes on being tried. Prints how the tries went when it is ended with TERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import Counter

from mininet_labs.agent import shell

PATIENCE = 2.0


async def _try(address: str, port: int, password: bytes) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return await _guess(reader, writer, password)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return type(error).__name__


async def _guess(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: bytes) -> str:
    await _receive(reader)
    for frame in (shell.BANNER, password):
        writer.write(len(frame).to_bytes(4) + frame)
    return (await _receive(reader)).decode()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4)))


async def _run(address: str, port: int, rate: float) -> Counter[str]:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    outcomes: Counter[str] = Counter()
    tries: set[asyncio.Task[str]] = set()

    def finished(task: asyncio.Task[str]) -> None:
        tries.discard(task)
        if not task.cancelled():
            outcomes[task.result()] += 1

    start, number = loop.time(), 0
    while not stop.is_set():
        task = asyncio.create_task(_try(address, port, f"password{number}".encode()))
        tries.add(task)
        task.add_done_callback(finished)
        number += 1
        try:
            await asyncio.wait_for(stop.wait(), max(0.0, start + number / rate - loop.time()))
        except TimeoutError:
            continue
    for task in tries:
        task.cancel()
    return outcomes


def main() -> None:
    """Guess until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    args = parser.parse_args()
    print(dict(asyncio.run(_run(args.address, args.port, args.rate))))


if __name__ == "__main__":
    main()
