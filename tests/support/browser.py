"""A page as Chromium has it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest


def browse(page: Path) -> tuple[str, str]:
    """The page as Chromium understood it, and what it said about it; nothing leaves this machine."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed (deploy/setup.sh --dev installs it)")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking dump-dom"
    flags += " disable-component-update disable-sync disable-dev-shm-usage enable-logging=stderr"
    command = [chromium, *(f"--{flag}" for flag in flags.split()), "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={page.with_suffix('.profile')}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


_LOOK = """<pre id="covered"></pre><script>
const found = [];
for (const picture of document.querySelectorAll("svg")) {
  const words = [...picture.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  words.forEach(([one, a], i) => words.slice(i + 1).forEach(([other, b]) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && tall > 3) found.push([one, other]);
  }));
}
document.getElementById("covered").textContent = JSON.stringify(found);
</script></body>"""


def covered(html: str, page: Path) -> list[list[str]]:
    """Pairs of words in the page's pictures of which one covers the other, as Chromium lays them out.

    Args:
        html: the page.
        page: where it may be written, without the policy that forbids scripts, to look at it.
    """
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", _LOOK))
    shown = re.search(r'<pre id="covered">(.*?)</pre>', browse(page)[0], re.DOTALL)
    assert shown is not None
    found: list[list[str]] = json.loads(unescape(shown[1]))
    return found
