"""A PEP 517 backend that builds a working wheel of Ryu 4.34 from the upstream sdist.

Sources: PEP 517 (hooks), https://github.com/eventlet/eventlet/blob/v0.31.0/NEWS (ALREADY_HANDLED went).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

WSGI = Path("ryu/app/wsgi.py")
GONE = """\
    # XXX: Eventlet API should not be used directly.
    from eventlet.wsgi import ALREADY_HANDLED
    _ALREADY_HANDLED = ALREADY_HANDLED

    def __call__(self, environ, start_response):
        return self._ALREADY_HANDLED
"""
MENDED = """\
    # Mended for dynseg: since 0.31 eventlet keeps "already handled" in a greenlet-local instead of a return value.
    def __call__(self, environ, start_response):
        from eventlet.wsgi import WSGI_LOCAL
        WSGI_LOCAL.already_handled = True
        return []
"""


def build_wheel(
    wheel_directory: str, config_settings: dict[str, object] | None = None, metadata_directory: str | None = None
) -> str:
    """Fetch the sdist, mend it, build it with setuptools' own backend; returns the wheel's file name."""
    from setuptools.build_meta import __legacy__  # the backend for projects with a setup.py only

    with tempfile.TemporaryDirectory(prefix="ryu-build-") as scratch:
        source = fetch(Path(scratch))
        mend(source / WSGI)
        start = Path.cwd()
        os.chdir(source)
        try:
            return __legacy__.build_wheel(wheel_directory, config_settings)
        finally:
            os.chdir(start)


def build_sdist(sdist_directory: str, config_settings: dict[str, object] | None = None) -> str:
    """Not offered: the source is upstream's, this folder only says how to build it."""
    raise UnsupportedOperation("deploy/ryu builds a wheel of the upstream sdist; take the sdist from PyPI")


class UnsupportedOperation(Exception):  # noqa: N818 - the name is PEP 517's
    """What PEP 517 calls the exception of a hook that a backend does not offer; found by its name."""


def fetch(scratch: Path) -> Path:
    """Download the pinned sdist with pip, as the user's pip is set up (index, proxy, certificates); its folder.

    Raises:
        SystemExit: pip failed; what it said stands above.
    """
    # pip hands its choice of backend to hooks in these variables; the inner pip must not take them for its own.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("_PYPROJECT_HOOKS", "PEP517_"))}
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=ryu", "--no-build-isolation"]
    command += ["--require-hashes", "--disable-pip-version-check", "--quiet", "--dest", str(scratch)]
    done = subprocess.run([*command, "-r", str(HERE / "sdist.txt")], env=env, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit("the source of Ryu 4.34 could not be downloaded; see pip's message above")
    (archive,) = scratch.glob("ryu-*.tar.gz")
    shutil.unpack_archive(archive, scratch)
    return scratch / archive.name.removesuffix(".tar.gz")


def mend(file: Path) -> None:
    """Replace the use of the name that eventlet no longer has.

    Raises:
        SystemExit: the file is not the one this was written for.
    """
    text = file.read_text(encoding="utf-8")
    if text.count(GONE) != 1:
        raise SystemExit(f"{file.name} of the sdist is not as expected; deploy/ryu/backend.py is for Ryu 4.34 only")
    file.write_text(text.replace(GONE, MENDED), encoding="utf-8")
