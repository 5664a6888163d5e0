"""`python -m mininet_labs.attacks.worm --rate R ADDRESS...`: knocks at the doors of host after host until it is ended.

SSH, SMB, remote desktop and WinRM of each address in a random order, a connection each, again and again; whoever lets
it in is left again at once. Ends with TERM.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from itertools import product

from mininet_labs.attacks import raw

DOORS = (22, 445, 3389, 5985)
PATIENCE = 1.0


async def _knock(address: str, port: int) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
    except (OSError, TimeoutError):
        return


async def _run(addresses: list[str], rate: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    doors = list(product(addresses, DOORS))
    raw.announce()
    start, number = loop.time(), 0
    knocks: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        if number % len(doors) == 0:
            random.shuffle(doors)
        task = asyncio.create_task(_knock(*doors[number % len(doors)]))
        knocks.add(task)
        task.add_done_callback(knocks.discard)
        number += 1
        try:
            await asyncio.wait_for(stop.wait(), max(0.0, start + number / rate - loop.time()))
        except TimeoutError:
            continue
    for task in knocks:
        task.cancel()


def main() -> None:
    """Spread until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("addresses", nargs="+")
    args = parser.parse_args()
    asyncio.run(_run(args.addresses, args.rate))


if __name__ == "__main__":
    main()
