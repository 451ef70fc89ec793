"""Makes statistics.json: what SciPy and NumPy say about examples that the tests compute, too.

    python3 -m venv venv && venv/bin/pip install numpy scipy && venv/bin/python tests/vectors/statistics.py
"""

import json
import pathlib

import numpy
import scipy
from scipy import stats

random = numpy.random.default_rng(20261127)
vectors = {"made_with": {"numpy": numpy.__version__, "scipy": scipy.__version__}}

def correlation(a, b):
    """Gorodkin's coefficient: the covariance of two indicator matrices over their deviations."""
    a, b = a - a.mean(0), b - b.mean(0)
    return (a * b).sum() / numpy.sqrt((a**2).sum() * (b**2).sum())


# Wilson's score interval, 95 %, two-sided.
counts = [(0, 20), (20, 20), (1, 1), (81, 263), (15, 148), (9897, 10000), (1, 100000), (4999, 5000)]
counts += [(int(random.integers(0, n + 1)), int(n)) for n in random.integers(1, 3000, 40)]
vectors["wilson"] = []
for successes, count in counts:
    interval = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    vectors["wilson"].append([successes, count, interval.low, interval.high])

# McNemar's exact test: the two-sided binomial test of the discordant pairs.
pairs = [(0, 0), (1, 0), (5, 0), (0, 6), (10, 2), (25, 8), (121, 59), (7, 7), (400, 500)]
pairs += [(int(b), int(c)) for b, c in random.integers(0, 300, (40, 2))]
vectors["mcnemar"] = []
for b, c in pairs:
    p = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    vectors["mcnemar"].append([b, c, p])

# Nearest-rank quantiles of times.
vectors["quantiles"] = []
for n in [1, 2, 5, 20, 99, 100, 101, 1000]:
    times = random.gamma(2.0, 0.003, n)
    at = [float(numpy.quantile(times, share, method="inverted_cdf")) for share in (0.5, 0.95, 0.99)]
    vectors["quantiles"].append({"times": times.tolist(), "quantiles": at})

# Classifiers: probabilities as 32-bit numbers, the true class, and metrics by their definitions.
vectors["classes"] = []
for n, classes in [(50, 2), (200, 3), (400, 10)]:
    logits = random.normal(0, 1.5, (n, classes))
    truth = random.integers(0, classes, n)
    logits[numpy.arange(n), truth] += 1.0
    rows = numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
    rows = rows.astype(numpy.float32)
    predicted = rows.argmax(1)
    confidence = rows.max(1)
    # Expected calibration error, 15 bins of equal width, open below.
    bins = numpy.clip(numpy.ceil(confidence.astype(numpy.float32) * numpy.float32(15)), 1, 15)
    ece = sum(
        abs((predicted[bins == k] == truth[bins == k]).sum() - confidence[bins == k].astype(float).sum())
        for k in range(1, 16)
    ) / n
    one_hot = numpy.eye(classes)[truth]
    brier = ((rows.astype(float) - one_hot) ** 2).sum(1).mean() / (2 if classes == 2 else 1)
    log_loss = -numpy.log(rows.astype(float)[numpy.arange(n), truth]).mean()
    # Areas by the Mann-Whitney statistic, of the second of two classes or averaged over all.
    areas = []
    for k in [1] if classes == 2 else range(classes):
        yes, no = rows[truth == k, k], rows[truth != k, k]
        areas.append(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
    f1 = []
    for k in range(classes):
        right = ((predicted == k) & (truth == k)).sum()
        f1.append(2 * right / ((predicted == k).sum() + (truth == k).sum()))
    vectors["classes"].append({
        "rows": [[float(value) for value in row] for row in rows],
        "truth": truth.tolist(),
        "metrics": {
            "accuracy": float((predicted == truth).mean()),
            "ece": float(ece),
            "brier": float(brier),
            "log_loss": float(log_loss),
            "auc": float(numpy.mean(areas)),
            "macro_f1": float(numpy.mean(f1)),
            "mcc": float(correlation(numpy.eye(classes)[predicted], one_hot)),
        },
    })

# The paired bootstrap: gains of one model over another on the same examples, percentile intervals of SciPy from many resamples.
vectors["bootstrap"] = []
for n in [40, 200]:
    truth = random.normal(0, 2, n)
    one = (truth + random.normal(0, 0.5, n)).astype(numpy.float32).astype(float)
    other = (truth + 0.3 * (one - truth) + random.normal(0, 0.6, n)).astype(numpy.float32).astype(float)
    for metric, function in [
        ("mae", lambda a, b, t: numpy.abs(b - t).mean(-1) - numpy.abs(a - t).mean(-1)),
        ("rmse", lambda a, b, t: numpy.sqrt(((b - t) ** 2).mean(-1)) - numpy.sqrt(((a - t) ** 2).mean(-1))),
    ]:
        found = stats.bootstrap(
            (one, other, truth),
            lambda a, b, t, axis=-1, f=function: f(a, b, t),
            paired=True, vectorized=True, n_resamples=200_000, batch=2000, method="percentile",
            confidence_level=0.95, rng=numpy.random.default_rng(7),
        )
        vectors["bootstrap"].append({
            "metric": metric,
            "first": one.tolist(),
            "second": other.tolist(),
            "truth": truth.tolist(),
            "gain": float(function(one, other, truth)),
            "interval": [float(found.confidence_interval.low), float(found.confidence_interval.high)],
            "standard_error": float(found.standard_error),
        })

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(vectors, indent=None, separators=(",", ":")).replace('],[', '],\n[') + "\n")
print(path, path.stat().st_size, "bytes")
