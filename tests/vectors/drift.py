"""Makes drift.json: samples with what scipy says of them. Run with scipy 1.x: `python drift.py > drift.json`."""

import json

import numpy as np
import scipy
from scipy import stats
from scipy.spatial.distance import pdist, squareform

random = np.random.default_rng(20261127)


def f32(values):
    return [float(np.float32(v)) for v in values]


def ks():
    cases = []
    for n, m, shift, tied in [(5, 7, 0.0, False), (20, 30, 0.5, False), (60, 45, 1.0, False), (40, 40, 0.3, True), (100, 80, 2.0, False)]:
        one, other = random.normal(0, 1, n), random.normal(shift, 1, m)
        if tied:
            one, other = np.round(one, 1), np.round(other, 1)
        one, other = f32(one), f32(other)
        found = stats.ks_2samp(one, other, method="exact")
        cases.append({"one": one, "other": other, "value": found.statistic, "p": found.pvalue})
    return cases


def limits():
    cases = []
    for n, m, value in [(5000, 4000, 0.02), (12000, 1000, 0.03), (12000, 1000, 0.05), (100000, 500, 0.08)]:
        root = np.sqrt(n * m / (n + m))
        cases.append({"n": n, "m": m, "value": value, "p": stats.kstwobign.sf((root + 0.12 + 0.11 / root) * value)})
    return cases


def chi_square():
    cases = []
    for table in [[[100, 200, 300], [40, 60, 80]], [[30, 12, 8, 50], [10, 30, 25, 35]], [[5000, 4000], [480, 420]], [[10] * 9, [8, 12, 9, 11, 10, 7, 13, 9, 11]]]:
        found = stats.chi2_contingency(table, correction=False)
        total = sum(map(sum, table))
        cases.append({"baseline": table[0], "window": table[1], "value": float(np.sqrt(found.statistic / total)), "p": found.pvalue})
    return cases


def psi():
    cases = []
    for before, now in [([100] * 10, [90, 95, 100, 105, 110, 100, 100, 100, 100, 100]), ([500, 300, 200], [20, 30, 50]), ([1000, 0, 1000], [10, 80, 10])]:
        p, q = np.array(before) + 0.5, np.array(now) + 0.5
        value = float(stats.entropy(p, q) + stats.entropy(q, p))
        n, m = sum(before), sum(now)
        cases.append({"baseline": before, "window": now, "value": value, "p": float(stats.chi2.sf(value * n * m / (n + m), len(before) - 1))})
    return cases


def tails():
    return [{"degrees": k, "x": x, "p": float(stats.chi2.sf(x, k))} for k, x in [(1, 0.001), (1, 3.84), (2, 10), (9, 16.9), (9, 60), (30, 20), (99, 80), (99, 160), (3, 200), (1000, 1100)]]


def mmd():
    """The unbiased estimate, eq. 3 of Gretton et al. (2012), written with numpy and scipy's distances."""
    cases = []
    for n, m, shift in [(12, 15, 0.0), (20, 20, 1.5), (30, 10, 0.4)]:
        one, other = np.float32(random.normal(0, 1, (n, 3))), np.float32(random.normal(shift, 1, (m, 3)))
        both = np.vstack([one, other]).astype(float)
        squares = squareform(pdist(both, "sqeuclidean"))
        distances = np.sort(pdist(both, "sqeuclidean"))
        kernel = np.exp(-squares / (2 * distances[len(distances) // 2]))
        np.fill_diagonal(kernel, 0)
        value = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1)) - 2 * kernel[:n, n:].mean()
        cases.append({"one": one.tolist(), "other": other.tolist(), "value": float(value)})
    return cases


print(json.dumps({"made_by": f"scipy {scipy.__version__}, numpy {np.__version__}", "ks": ks(), "ks_limits": limits(), "chi_square": chi_square(), "psi": psi(), "tails": tails(), "mmd": mmd()}, indent=1))
