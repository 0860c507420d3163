"""Compare a batched gradient method for the lasso, on a CPU or a GPU, with the sparse coder.

    python -m benchmarks.peers.fista --cohort ../shared/data/ds002748 --device cpu

FISTA with adaptive restarts needs only matrix products in each iteration, so it suits a GPU. Every
few iterations, the weights of the atoms in use are solved exactly, and signals with an optimal code
are finished. Prints the number of iterations, the operations that they need, and the rates of both
coders in alternating repetitions. The rate of operations of a device divided by the operations of a
signal is the best rate that this method could reach on it.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import softshrink

from benchmarks.cost import timed
from benchmarks.peers.coder import quality, signals_and_atoms, weight_for
from benchmarks.tables import format_row, format_table
from sklearn_iqt.dictionary import sparse_encode

# Iterations between two exact solutions, and the largest number of iterations.
PERIOD, MAX_ITER = 20, 5_000


def solve_in_use(codes, correlations, gram, exact_gram, n_features, alpha, slack):
    """Return codes with the best weights for the atoms in use, and which codes are optimal."""
    counts = torch.count_nonzero(codes, dim=1)
    # Codes with more atoms than features are never optimal, so their weights do not matter.
    width = int(counts.clamp(max=n_features).max())
    atoms = codes.abs().topk(width, dim=1).indices
    weights = codes.gather(1, atoms)
    used = weights != 0
    square = exact_gram[atoms[:, :, None], atoms[:, None, :]]
    square = torch.where(used[:, :, None] & used[:, None, :], square, torch.eye(width).to(square))
    right = torch.where(used, correlations.gather(1, atoms) - alpha * weights.sign(), 0.0)
    factor, failed = torch.linalg.cholesky_ex(square)
    weights = torch.cholesky_solve(right[:, :, None].to(square), factor)[:, :, 0]
    solved = torch.zeros_like(codes).scatter(1, atoms, weights.to(codes))
    slopes = correlations - solved @ gram
    violation = torch.where(
        solved != 0, (slopes - alpha * solved.sign()).abs(), slopes.abs() - alpha
    ).amax(dim=1)
    same_signs = (solved.sign() == codes.sign()).all(dim=1)
    optimal = (counts <= n_features) & (failed == 0) & same_signs & (violation <= slack)
    return solved, optimal


def fista(X, dictionary, alpha, *, device="cpu", tol=1e-4):
    """Return the codes and the number of iterations of each signal, at most ``MAX_ITER``."""
    X, dictionary = (torch.as_tensor(a, device=device) for a in (X, dictionary))
    exact_gram = dictionary.double() @ dictionary.double().T
    gram = exact_gram.to(X)
    # With few features, two products with the atoms are cheaper than one with their Gram matrix.
    by_atoms = 2 * X.shape[1] < len(dictionary)
    step = 1 / float(torch.linalg.eigvalsh(exact_gram)[-1])
    correlations = X @ dictionary.T
    slack = tol * alpha + 2 * torch.finfo(X.dtype).eps * X.norm(dim=1)
    codes = ahead = torch.zeros_like(correlations)
    momentum = torch.ones_like(slack)[:, None]
    found, left = torch.zeros_like(codes), torch.arange(len(X), device=X.device)
    n_iter = np.full(len(X), MAX_ITER)
    for iteration in range(1, MAX_ITER + 1):
        explained = ahead @ dictionary @ dictionary.T if by_atoms else ahead @ gram
        slopes = correlations - explained
        following = softshrink(ahead + step * slopes, step * alpha)
        move = following - codes
        uphill = ((ahead - following) * move).sum(dim=1, keepdim=True) > 0
        before = torch.where(uphill, 1.0, momentum)
        momentum = (1 + torch.sqrt(1 + 4 * before**2)) / 2
        codes, ahead = following, following + (before - 1) / momentum * move
        if iteration % PERIOD:
            continue
        solved, optimal = solve_in_use(
            codes, correlations, gram, exact_gram, X.shape[1], alpha, slack
        )
        found[left[optimal]] = solved[optimal]
        n_iter[left[optimal].cpu().numpy()] = iteration
        left, codes, ahead, momentum, correlations, slack = (
            tensor[~optimal] for tensor in (left, codes, ahead, momentum, correlations, slack)
        )
        if not len(left):
            break
    found[left] = codes
    return found.cpu().numpy(), n_iter


def main(argv=None):
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", help="folder of a cohort; synthetic signals by default")
    parser.add_argument(
        "--atoms", type=int, nargs="+", default=[256, 1024], help="numbers of atoms"
    )
    parser.add_argument(
        "--nonzeros", type=int, nargs="+", default=[5, 20, 48], help="mean non-zeros of a code"
    )
    parser.add_argument("--components", type=int, default=130, help="features of a signal")
    parser.add_argument("--features", default="gradient", help="features of CoupledDictionaryIQT")
    parser.add_argument("--signals", type=int, default=300, help="number of signals")
    parser.add_argument("--repetitions", type=int, default=3, help="of each coder")
    parser.add_argument("--device", default="cpu", help="device of torch")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    columns = ["atoms", "non-zeros", "iterations: mean", "median", "90 %", "not finished"]
    columns += ["GFLOP per signal", "signals/s", "sklearn_iqt, one thread", "violation / λ"]
    print(format_table(columns))
    for n_atoms in arguments.atoms:
        signals, atoms = signals_and_atoms(arguments, n_atoms)
        for n_nonzero in arguments.nonzeros:
            alpha = weight_for(signals, atoms, n_nonzero)
            chosen = signals[: arguments.signals]
            seconds = []
            sparse_encode(chosen, atoms, alpha=alpha)
            for _ in range(arguments.repetitions):
                (codes, n_iter), fista_s, _ = timed(
                    partial(fista, chosen, atoms, alpha, device=arguments.device)
                )
                ours, our_s, _ = timed(partial(sparse_encode, chosen, atoms, alpha=alpha))
                seconds.append((fista_s, our_s))
            rates = len(chosen) / np.median(seconds, axis=0)
            exact = chosen.astype(np.float64), atoms.astype(np.float64)
            done = n_iter < MAX_ITER
            codes = sparse.csr_matrix(codes[done])
            violation = quality(exact[0][done], exact[1], codes, alpha)[0] if done.any() else np.nan
            operations = 2 * n_atoms * min(n_atoms, 2 * signals.shape[1])
            cells = (
                n_atoms,
                f"{ours.nnz / len(chosen):.0f}",
                f"{n_iter.mean():.0f}",
                f"{np.median(n_iter):.0f}",
                f"{np.quantile(n_iter, 0.9):.0f}",
                f"{np.mean(~done):.0%}",
                f"{1e-9 * n_iter.mean() * operations:.3f}",
                *(f"{rate:,.0f}" for rate in rates),
                f"{violation:.0e}",
            )
            print(format_row(cells), flush=True)


if __name__ == "__main__":
    main()
