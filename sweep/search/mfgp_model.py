"""A Gaussian process over configurations and epochs, in numpy.

The value y of a configuration x (a row of columns between 0 and 1) after an epoch is

    y = m(z) + f(x, z) + u(trial, z) + noise      z = log(full / epoch) / log(full), the lag: 0 after the last epoch
    cov f = s(z) s(z') exp(-|z - z'| / c) k(x, x')      s(z) = exp(a + b z)
    cov u = t^2 s(z) s(z') exp(-|z - z'| / c)      within a trial, else 0

with k a Matern-5/2 kernel that has a length for each parameter, and m a smooth curve that all trials share.
Between two lags this is the autoregressive form of Kennedy and O'Hagan (Biometrika 87, 2000): what an epoch tells
about the end falls with its lag, as c says. MOBSTER (Tiao et al. 2020) has a Gaussian process over (configuration,
epoch), FABOLAS (Klein et al. 2017) one over (configuration, share of the data).

The hyperparameters are those of the largest posterior density, by L-BFGS with exact gradients from a fixed start.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # it imports its parts when they are first used
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

MIN_NOISE_VARIANCE = 1e-5
"""Noise variance that is always added; values are standardised."""
MEAN_SD, MEAN_LENGTH = 3.0, 0.7
"""Prior standard deviation of the shared curve m, and the lag over which it varies."""
MAX_ITERATIONS = 40
"""Limit of the iterations of L-BFGS, and with it of the time of a fit."""
PRIOR = ((0.0, 0.7), (0.0, 0.5), (0.0, 0.8), (np.log(0.15), 0.7), (np.log(0.1), 0.9))
"""Mean and standard deviation of a, b, log c, log t and the log of the noise's standard deviation."""
LENGTH_MEAN, LENGTH_SD = 0.4, 0.9
"""Median of the prior of a length, for one parameter; standard deviation of its log."""


@dataclass(frozen=True, slots=True)
class Points:
    """Observed values, n of them."""

    x: Array
    """Encoded configurations, (n, columns)."""
    lag: Array
    """Lags of their epochs, (n,)."""
    trial: Indices
    """Number of the trial of each value, (n,)."""
    y: Array
    """Standardised values, (n,)."""


def squared_distances(x: Array, other: Array, groups: Indices) -> Array:
    """Return the squared distance of each two configurations in each parameter, (parameters, n, m).

    Args:
        x, other: encoded configurations, (n, columns) and (m, columns).
        groups: the parameter to which each column belongs, (columns,).
    """
    found = np.zeros((int(groups.max()) + 1, len(x), len(other)))
    for column, group in enumerate(groups):
        found[group] += np.square(x[:, None, column] - other[None, :, column])
    return found


def matern(distances: Array, lengths: Array) -> tuple[Array, Array]:
    """Return the Matern-5/2 kernel of squared distances (parameters, n, m), and -2 times its derivative by r^2."""
    r2 = np.tensordot(1 / np.square(lengths), distances, axes=1)
    r = np.sqrt(5 * r2)
    decay = np.exp(-r)
    return (1 + r + 5 / 3 * r2) * decay, 5 / 3 * (1 + r) * decay


def mean_covariance(lag: Array, other: Array) -> Array:
    """Return the covariance of the shared curve m at two sets of lags."""
    return MEAN_SD**2 * np.exp(-0.5 * np.square((lag[:, None] - other[None, :]) / MEAN_LENGTH))


def rung_covariance(theta: Array, lag: Array, other: Array) -> Array:
    """Return s(z) s(z') exp(-|z - z'| / c) at two sets of lags."""
    scale, other_scale = np.exp(theta[0] + theta[1] * lag), np.exp(theta[0] + theta[1] * other)
    gap = np.abs(lag[:, None] - other[None, :])
    return np.asarray(scale[:, None] * other_scale[None, :] * np.exp(-gap / np.exp(theta[2])))


class Posterior:
    """The negative log posterior density of the hyperparameters theta: a, b, log c, log t, log noise, log lengths."""

    def __init__(self, points: Points, groups: Indices) -> None:
        self._points = points
        self._distances = squared_distances(points.x, points.x, groups)
        self._gap = np.abs(points.lag[:, None] - points.lag[None, :])
        self._same = points.trial[:, None] == points.trial[None, :]
        self._mean = mean_covariance(points.lag, points.lag)
        num_parameters = len(self._distances)
        length = (np.log(LENGTH_MEAN * np.sqrt(num_parameters)), LENGTH_SD)
        self.prior = np.array([*PRIOR, *num_parameters * [length]])
        """Mean and standard deviation of each hyperparameter, (5 + parameters, 2)."""

    def covariance(self, theta: Array) -> Array:
        """Return the covariance of the points without that of the shared curve, (n, n)."""
        kernel, _ = matern(self._distances, np.exp(theta[5:]))
        rungs = rung_covariance(theta, self._points.lag, self._points.lag)
        return np.asarray(rungs * (kernel + np.exp(2 * theta[3]) * self._same) + self._noise(theta))

    def _noise(self, theta: Array) -> Array:
        return np.asarray((np.exp(2 * theta[4]) + MIN_NOISE_VARIANCE) * np.eye(len(self._points.y)))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return the value, up to a constant, and its gradient (5 + parameters,)."""
        y, lag = self._points.y, self._points.lag
        kernel, slope = matern(self._distances, np.exp(theta[5:]))
        rungs = rung_covariance(theta, lag, lag)
        own = np.exp(2 * theta[3]) * rungs * self._same
        signal = rungs * kernel + own
        factor = scipy.linalg.cholesky(signal + self._noise(theta) + self._mean, lower=True, check_finite=False)
        half, _ = scipy.linalg.lapack.dpotri(factor, lower=1)  # the lower half of the inverse
        inverse = half + np.tril(half, -1).T
        alpha = inverse @ y
        weight = 0.5 * (inverse - np.outer(alpha, alpha))  # derivative of the value by the covariance
        weighted = weight * signal
        shared = [
            2 * weighted.sum(),
            2 * weighted.sum(axis=1) @ lag,
            np.vdot(weighted, self._gap) / np.exp(theta[2]),
            2 * np.vdot(weight, own),
            2 * np.exp(2 * theta[4]) * np.trace(weight),
        ]
        lengths = np.tensordot(self._distances, weight * rungs * slope, axes=2) / np.exp(2 * theta[5:])
        value = 0.5 * y @ alpha + np.log(np.diag(factor)).sum()
        mean, sd = self.prior.T
        off = (theta - mean) / sd
        return float(value + 0.5 * off @ off), np.concatenate([shared, lengths]) + off / sd

    def fit(self) -> Array:
        """Return the hyperparameters of the largest density near the prior's mean."""
        start, sd = self.prior.T
        bounds = np.column_stack([start - 4 * sd, start + 4 * sd])
        found = scipy.optimize.minimize(
            self, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_ITERATIONS, "ftol": 1e-5}
        )
        return np.asarray(found.x)


class Model:
    """Predictions of the value after the last epoch."""

    def __init__(self, points: Points, groups: Indices, theta: Array) -> None:
        self._points, self._groups, self._theta = points, groups, theta
        covariance = Posterior(points, groups).covariance(theta)
        whole = covariance + mean_covariance(points.lag, points.lag)
        with_mean = scipy.linalg.cholesky(whole, lower=True, check_finite=False)
        self._alpha = scipy.linalg.cho_solve((with_mean, True), points.y, check_finite=False)
        self._factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        last = np.zeros(1)
        self._rungs = rung_covariance(theta, points.lag, last)
        self._mean = float((mean_covariance(points.lag, last)[:, 0]) @ self._alpha)

    def believing(self, x: Array) -> "Model":
        """Return the model that has also seen its own predictions after the last epoch of these configurations.

        Args:
            x: encoded configurations of trials, (m, columns).
        """
        points, (mean, _) = self._points, self.predict(x)
        more = Points(
            np.vstack([points.x, x]),
            np.append(points.lag, np.zeros(len(x))),
            np.append(points.trial, -1 - np.arange(len(x))),
            np.append(points.y, mean),
        )
        return Model(more, self._groups, self._theta)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of f + m after the last epoch, (m,) each.

        The uncertainty of the shared curve is left out: it is the same for all configurations.

        Args:
            x: encoded configurations, (m, columns).
        """
        kernel, _ = matern(squared_distances(self._points.x, x, self._groups), np.exp(self._theta[5:]))
        cross = kernel * self._rungs
        solved = scipy.linalg.solve_triangular(self._factor, cross, lower=True, check_finite=False)
        explained = np.square(solved).sum(axis=0)
        variance = np.exp(2 * self._theta[0]) - explained
        return self._mean + cross.T @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))
