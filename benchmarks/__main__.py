"""``python -m benchmarks [names]``: run them all, or those named, one after the other."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = (
    "strokes",
    "tiles",
    "corrections",
    "start",
    "smoothness",
    "denoise",
    "restore",
    "natural",
    "next_picture",
)


def main() -> None:
    """Run each benchmark as if it were called alone."""
    sys.path.insert(0, str(HERE))
    wanted = sys.argv[1:] or ALL
    unknown = set(wanted) - set(ALL)
    if unknown:
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {ALL}")
    sys.argv[1:] = []
    for name in wanted:
        print(f"== {name}", flush=True)
        runpy.run_path(str(HERE / f"{name}.py"), run_name="__main__")


if __name__ == "__main__":
    main()
