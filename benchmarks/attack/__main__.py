"""Attack the readers of files for some seconds, and count the outcomes.

    python -m benchmarks.attack --seconds 600 --seed 0

Each target is attacked in a separate process with limited memory. A violation is an
unexpected error, a wrong result that was not refused, or an attack that takes more than 20 seconds
or ends its process. The files of each violation are kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.attack.targets import TARGETS, VIOLATION
from benchmarks.attack.worker import Worker


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="duration of all attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--memory", type=int, default=512, metavar="MIB", help="limit of memory")
    parser.add_argument("--kept", type=Path, default=Path("attack_violations"))
    args = parser.parse_args(argv)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    worst: dict[str, float] = defaultdict(float)
    peaks: dict[str, float] = defaultdict(float)
    violations: list[str] = []
    for name in args.targets:
        worker = Worker(name, args.seed, args.memory, args.kept)
        worker.start()
        end = time.monotonic() + args.seconds / len(args.targets)
        try:
            while time.monotonic() < end:
                outcomes, seconds, peak = worker.attack()
                for outcome in outcomes:
                    counts[outcome.row][outcome.column] += 1
                    if outcome.column == VIOLATION:
                        violations.append(
                            f"{outcome.row}, number {worker.number - 1}: {outcome.detail}"
                        )
                worst[outcomes[0].row] = max(worst[outcomes[0].row], seconds)
                peaks[outcomes[0].row] = max(peaks[outcomes[0].row], peak)
        finally:
            worker.close()
    header = ["attack", "cases", "outcomes", "violations", "worst time", "memory"]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row, columns in counts.items():
        outcomes_text = ", ".join(
            f"{n:,} {column}" for column, n in columns.most_common() if column != VIOLATION
        )
        time_text = f"{worst[row]:.2f} s" if row in worst else ""
        memory_text = f"{peaks[row]:.0f} MiB" if row in peaks else ""
        print(
            f"| {row} | {sum(columns.values()):,} | {outcomes_text} | {columns[VIOLATION]} | "
            f"{time_text} | {memory_text} |"
        )
    for line in violations[:100]:
        print(f"violation: {line[:500]!a}")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
