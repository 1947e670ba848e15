"""The scale of the network's activations: brought to 1 at every layer.

Gatys et al. 2016, section 2, rescale VGG-19 so that the mean activation is 1. A positive scale per
layer changes nothing else in a network of ReLUs and poolings, but recipes that were tuned on
weights with small activations need it on the original ones, whose activations are hundreds of times
larger.
"""

from dataclasses import replace

from shared.parameters import CONV_NAMES
from worker.engine.weights import OXFORD_SHA256, Weights

# Mean after the ReLU of each convolution, in the order of the network, over photographs: printed by
# `python -m bench activations`. By the sha256 of the weights.
MEAN_ACTIVATIONS = {
    OXFORD_SHA256: (
        21.324,
        95.181,
        111.29,
        95.874,
        110.15,
        138.66,
        286.37,
        410.87,
        441.39,
        281.64,
        143.92,
        33.917,
        39.251,
        16.026,
        6.4012,
        0.74149,
    ),
}


def unit_activations(weights: Weights) -> Weights:
    """`weights` with a mean activation of 1 over photographs after every ReLU.

    Weights whose activations have not been measured are returned as they are.
    """
    means = MEAN_ACTIVATIONS.get(weights.sha256)
    if means is None:
        return weights
    convolutions = {}
    before = 1.0
    for name, mean in zip(CONV_NAMES, means, strict=True):
        kernel, bias = weights.convolutions[name]
        convolutions[name] = (kernel * (before / mean), bias / mean)
        before = mean
    return replace(weights, convolutions=convolutions)
