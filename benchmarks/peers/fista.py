"""What a batched gradient method would make of the lasso, on a processor or on a GPU.

    python -m benchmarks.peers.fista --cohort ../shared/data/ds002748 --device cpu

FISTA with adaptive restarts needs products of matrices for each iteration, so it suits a GPU.
Every few iterations the weights are solved for on the atoms in use, and signals whose code is then
optimal are done. Prints how many iterations signals take, what that is in operations, and the rates
of both coders in alternating repetitions. The operations over the rate of a device say what it
could reach at best.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import softshrink

from benchmarks.peers.coder import quality, signals_and_atoms, weight_for
from sklearn_iqt.dictionary import sparse_encode

# Iterations between two tries to finish, and the most.
PERIOD, MAX_ITER = 20, 5_000


def solve_in_use(codes, correlations, gram, exact_gram, n_features, alpha, slack):
    """Return the best weights for the atoms in use and their signs, and which are optimal."""
    counts = torch.count_nonzero(codes, dim=1)
    # Codes of more atoms than there are features are not done, whatever comes out for them.
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
    """Return codes, and the iterations of each signal (``MAX_ITER`` where that was too few)."""
    X, dictionary = (torch.as_tensor(a, device=device) for a in (X, dictionary))
    exact_gram = dictionary.double() @ dictionary.double().T
    gram = exact_gram.to(X)
    # Two products with the atoms are cheaper than one with their Gram where there are few features.
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
    parser.add_argument("--cohort", help="folder of real brains; synthetic signals without")
    parser.add_argument("--atoms", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--nonzeros", type=int, nargs="+", default=[5, 20, 48])
    parser.add_argument("--components", type=int, default=130)
    parser.add_argument("--features", default="gradient", help="of CoupledDictionaryIQT")
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="of torch")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(
        "| atoms | non-zeros | iterations: mean | median | 90 % | not done | GFLOP a signal "
        "| signals/s | ours, one thread | violation / λ |\n" + "|---" * 10 + "|"
    )
    for n_atoms in arguments.atoms:
        signals, atoms = signals_and_atoms(arguments, n_atoms)
        for n_nonzero in arguments.nonzeros:
            alpha = weight_for(signals, atoms, n_nonzero)
            chosen = signals[: arguments.signals]
            seconds = []
            sparse_encode(chosen, atoms, alpha=alpha)
            for _ in range(arguments.repetitions):
                start = time.perf_counter()
                codes, n_iter = fista(chosen, atoms, alpha, device=arguments.device)
                middle = time.perf_counter()
                ours = sparse_encode(chosen, atoms, alpha=alpha)
                seconds.append((middle - start, time.perf_counter() - middle))
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
            print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
