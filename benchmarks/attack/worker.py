"""Processes that attack one target each, and are replaced when they end or hang."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.attack.targets import TARGETS, VIOLATION, Outcome, attack

__all__ = ["Worker"]

LIMIT_SECONDS = 20
START_SECONDS = 300
MEBIBYTE = 2**20


def work(name: str, folder: Path, first: int, seed: int, connection: Any, memory: int) -> None:
    """Attack one target until the parent closes the connection."""
    os.chdir(folder)  # commands may write files with relative names
    target = TARGETS[name](folder)
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory * MEBIBYTE,) * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.send("ready")
    number = first
    while connection.recv():
        started = time.perf_counter()
        outcomes = attack(target, (seed, number))
        seconds = time.perf_counter() - started
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        connection.send((number, outcomes, seconds, peak))
        number += 1


class Worker:
    """A process that attacks one target, and is replaced if it ends or hangs."""

    def __init__(self, name: str, seed: int, memory: int, kept: Path) -> None:
        self.name, self.seed, self.memory, self.kept = name, seed, memory, kept
        self.folder = Path(tempfile.mkdtemp(prefix=f"attack-{name}-"))
        self.number = 0
        self.process: Any = None

    def start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        arguments = self.name, self.folder, self.number, self.seed, theirs, self.memory
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        if not self.connection.poll(START_SECONDS):
            raise SystemExit(f"the target {self.name} did not start")
        self.connection.recv()

    def attack(self) -> tuple[list[Outcome], float, float]:
        """Attack once."""
        if self.process is None:
            self.start()
        self.connection.send(True)
        started = time.perf_counter()
        try:
            if self.connection.poll(LIMIT_SECONDS):
                number, outcomes, seconds, peak = self.connection.recv()
                self.number = number + 1
                if any(outcome.column == VIOLATION for outcome in outcomes):
                    self.keep()
                return outcomes, seconds, peak
            fault = f"took more than {LIMIT_SECONDS} s"
        except EOFError:
            fault = "ended the process"
        self.process.kill()
        self.process.join()
        self.process = None
        self.keep()
        self.number += 1
        outcome = Outcome(f"{self.name}: hangs and crashes", VIOLATION, fault)
        return [outcome], time.perf_counter() - started, 0.0

    def keep(self) -> None:
        """Copy the files of the attack."""
        shutil.copytree(
            self.folder, self.kept / f"{self.name}-{self.seed}-{self.number}", dirs_exist_ok=True
        )

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)
