"""`python -m mininet_labs.attacks.scan --log FILE ADDRESS...`: nmap over the usual thousand ports, again and again.

Ends with TERM, and nmap with it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys

from mininet_labs.children import mortal


def main() -> None:
    """Scan until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("addresses", nargs="+")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    command = ["nmap", "-sS", "-T4", "-n", "-Pn", "--append-output", "-oN", args.log, *args.addresses]
    while True:
        with subprocess.Popen(mortal(command), stdout=subprocess.DEVNULL) as nmap:
            try:
                status = nmap.wait()
            finally:
                nmap.kill()
        if status:
            sys.exit(f"nmap ended with status {status}")


if __name__ == "__main__":
    main()
