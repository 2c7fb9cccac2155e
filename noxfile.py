"""What one does with the project, each in a fresh environment of its own.

``nox -s demo | tests | lint | bench | docs | screenshots``; what follows ``--`` is passed on.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys

import nox

# The pins are pip's, and so is whatever the user has told pip about where packages come from.
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests"]

# Shared libraries that Qt opens to draw on an X server, and the Debian packages that hold them.
QT_LIBRARIES = {
    "EGL": "libegl1",
    "GL": "libgl1",
    "dbus-1": "libdbus-1-3",
    "fontconfig": "libfontconfig1",
    "glib-2.0": "libglib2.0-0",
    "xkbcommon-x11": "libxkbcommon-x11-0",
    "xcb-cursor": "libxcb-cursor0",
    "xcb-icccm": "libxcb-icccm4",
    "xcb-image": "libxcb-image0",
    "xcb-keysyms": "libxcb-keysyms1",
    "xcb-randr": "libxcb-randr0",
    "xcb-render-util": "libxcb-render-util0",
    "xcb-shape": "libxcb-shape0",
    "xcb-xinerama": "libxcb-xinerama0",
    "xcb-xkb": "libxcb-xkb1",
}
XVFB_PROGRAMS = {"Xvfb": "xvfb", "xauth": "xauth"}


@nox.session
def demo(session: nox.Session) -> None:
    """Train and predict on both samples, without a display; ``-- --view`` shows the results."""
    install(session, ".[all]" if "--view" in session.posargs else ".")
    command = ["python", "-m", "napari_unet", "demo", "--out", "demo-output"]
    session.run(*command, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the linters, then all tests; arguments go to pytest."""
    # Not editable: what is tested is what the wheel holds, manifest and type marker included.
    install(session, ".[test]")
    run_linters(session)
    prepare_display(session)
    # Two at a time, of one thread each: threads of several trainings would wait for each other.
    spread = ["-n", "2", "--dist", "loadfile"] if not session.posargs else []
    env = {"OMP_NUM_THREADS": "1"}
    session.run("pytest", "-W", "error", *spread, *session.posargs, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    install(session, ".[test]")
    run_linters(session)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure quality and speed; arguments choose the benchmarks."""
    install(session, ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages into docs/_build/html; a warning is an error."""
    install(session, ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def screenshots(session: nox.Session) -> None:
    """Make the pictures of README and docs again."""
    install(session, ".[bench]")
    prepare_display(session)
    virtual = sys.platform == "linux" and not os.environ.get("DISPLAY")
    display = ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"] if virtual else []
    session.run(*display, "python", "docs/screenshots.py", *session.posargs, external=True)
    if not session.posargs:
        session.run(*display, "python", "docs/animation.py", external=True)


def install(session: nox.Session, package: str) -> None:
    """Install the package with the exact versions of everything that constraints.txt names."""
    session.install("-c", "constraints.txt", package)


def run_linters(session: nox.Session) -> None:
    """Run ruff, mypy and import-linter."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


def prepare_display(session: nox.Session) -> None:
    """See that Qt can draw: on Linux install what is missing, or say the command that would."""
    if sys.platform != "linux":
        return
    packages = missing_packages(need_xvfb=not os.environ.get("DISPLAY"))
    if not packages:
        return
    apt = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    as_root = root_prefix()
    if shutil.which("apt-get") is None:
        session.error(
            "Qt needs libraries that are missing here. Install what your distribution calls "
            + ", ".join(packages)
        )
    if as_root is None:
        session.error(f"Qt needs libraries that are missing here. Run: sudo {' '.join(apt)}")
    session.run(*as_root, "apt-get", "update", external=True)
    session.run(*as_root, *apt, external=True)


def missing_packages(need_xvfb: bool) -> list[str]:
    """Return the Debian packages that a window, or a virtual display, still needs."""
    missing = [p for name, p in QT_LIBRARIES.items() if ctypes.util.find_library(name) is None]
    if need_xvfb:
        missing += [p for name, p in XVFB_PROGRAMS.items() if shutil.which(name) is None]
    return missing


def root_prefix() -> list[str] | None:
    """Return what to write before a command to run it as root, None where that needs a password."""
    if sys.platform == "win32":
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if allowed.returncode == 0 else None
