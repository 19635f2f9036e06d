"""How far two sets of images are apart, from features of theirs, `[N, d]` and `[M, d]`.

Which features these are decides what the numbers mean: they compare only among sets whose features are of one network.
The first three are 0, 1 and 1 at best; of two samples of one distribution the Fréchet distance is greater than 0, the
more so the fewer they are, so it is to be read beside that of real images, as many of them.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

Features = Float[np.ndarray, "N d"]
Others = Float[np.ndarray, "M d"]


def frechet_distance(a: Features, b: Others) -> float:
    """`|μ - ν|² + tr(A + B - 2 (A B)^½)` of the means and covariances: between Gaussians, the squared 2-Wasserstein.

    Biased upward in small samples, by about `d (1/N + 1/M) / 2` variances or more; with fewer than d examples the
    covariances are singular, which is no error. Source: Dowson and Landau, J. Multivariate Analysis 1982; Heusel et
    al., NeurIPS 2017 (in Inception's features, which these are not); Chong and Forsyth, CVPR 2020 (the bias).

    Raises:
        ValueError: a set of fewer than two.
    """
    _check(a, b, 2)
    mean = np.sum((a.mean(0) - b.mean(0)) ** 2)
    one, other = (np.cov(x, rowvar=False).reshape(x.shape[1], -1).astype(np.float64) for x in (a, b))
    # A B has the eigenvalues of A^½ B A^½, which is symmetric: they are real, whatever the rounding.
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    return float(mean + np.trace(one) + np.trace(other) - 2 * shared)


def kernel_distance(a: Features, b: Others) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy with the kernel `(x·y / d + 1)³`.

    Its mean is 0 for two samples of one distribution, however small they are, so single values may be negative.
    Source: Gretton et al., JMLR 2012, eq. 3; Bińkowski et al., "Demystifying MMD GANs", ICLR 2018 (KID).

    Raises:
        ValueError: a set of fewer than two.
    """
    _check(a, b, 2)

    def kernel(x: Features, y: Others) -> Float[np.ndarray, "N M"]:
        return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3

    def among(x: Features) -> float:
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return float(among(a) + among(b) - 2 * kernel(a, b).mean())


def precision_recall(real: Features, made: Others, neighbors: int = 3) -> tuple[float, float]:
    """The share of made images among the real ones, and of real ones among the made.

    One is among a set if it is no farther from some member than that member's `neighbors`-th nearest other member.
    Depends on how many there are: both sets should be of one size. Source: Kynkäänniemi et al., "Improved precision and
    recall metric for assessing generative models", NeurIPS 2019.

    Raises:
        ValueError: a set with no more than `neighbors` members.
    """
    _check(real, made, neighbors + 1)

    def share_among(members: Features, others: Others) -> float:
        radius = np.sort(cdist(members, members), axis=1)[:, neighbors]  # column 0 is the member itself
        return float(np.mean((cdist(others, members) <= radius).any(1)))

    return share_among(real, made), share_among(made, real)


def _check(a: Features, b: Others, least: int) -> None:
    if min(len(a), len(b)) < least:
        raise ValueError(f"sets of {len(a)} and {len(b)} are too small to be compared; expected at least {least} each")
