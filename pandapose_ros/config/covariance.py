"""Defaults of the covariances, for weights without a calibration of their own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CovarianceConfig:
    """Set the errors of joints and roots; `pandapose calibrate` fits these to a file of weights.

    Lateral is across the viewing ray, ray along it. Joints in the order of `H36M_17`.

    Attributes:
        floor_lateral: [17], standard deviation that does not come from the votes, metres.
        floor_ray: [17], the same along the ray.
        gain_lateral: [17], share of the votes' scatter that adds to the variance.
        gain_ray: [17], the same along the ray.
        hidden_lateral: By how much the logarithm of the variance is higher for a hidden joint, of
            score 0, than for a visible one, of score 1.
        hidden_ray: The same along the ray.
        root_lateral: Standard deviation of the root, metres.
        root_relative: Of the root along the ray, as a share of the distance.
        root_assumed: Of the root along the camera's z axis, as a share of z; added if the field of
            view was assumed.
    """

    floor_lateral: tuple[float, ...] = (
        0.0,
        0.0264,
        0.0463,
        0.088,
        0.0262,
        0.0402,
        0.0677,
        0.0291,
        0.0568,
        0.0875,
        0.096,
        0.0681,
        0.0715,
        0.076,
        0.0723,
        0.0659,
        0.0708,
    )
    floor_ray: tuple[float, ...] = (
        0.0,
        0.0212,
        0.064,
        0.1085,
        0.022,
        0.0757,
        0.1517,
        0.0332,
        0.0785,
        0.067,
        0.0556,
        0.082,
        0.0669,
        0.158,
        0.0799,
        0.0711,
        0.1032,
    )
    gain_lateral: tuple[float, ...] = (
        0.0,
        0.0001,
        0.0297,
        0.0002,
        0.0001,
        0.0397,
        0.1878,
        0.0002,
        0.0001,
        0.0,
        0.0,
        0.0003,
        0.0003,
        0.0034,
        0.0,
        0.0001,
        0.0002,
    )
    gain_ray: tuple[float, ...] = (
        0.0,
        0.0,
        0.4142,
        0.5817,
        0.0,
        0.255,
        0.0389,
        0.0135,
        0.0001,
        0.6171,
        0.9324,
        0.0477,
        0.4073,
        0.0223,
        0.0,
        0.2518,
        0.7231,
    )
    hidden_lateral: float = 2.405
    hidden_ray: float = 0.518
    root_lateral: float = 0.0286
    root_relative: float = 0.0701
    root_assumed: float = 0.25
