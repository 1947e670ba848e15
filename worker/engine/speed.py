"""Measures how fast a device paints, for `shared.estimates`: about a second, once per worker."""

import time
from collections.abc import Callable, Sequence

import torch

from shared.estimates import NetworkSpeed, Speed, network_pass
from worker.engine.hardware import PRECISIONS
from worker.engine.vgg import VGG19

# A network that ends in its first block, whose layers have many positions and few weights, and one
# of many weights.
SHALLOW, DEEP = "relu1_2", "relu5_1"
SMALL_PX = 64
# The large picture: doubled until it takes the device this long.
LARGE_PX = (192, 384, 768)
LONG_SECONDS = 0.04
REPEATS = 4
# On a slow machine, or one that is busy with other things, two looks have to do.
PATIENCE_SECONDS = 0.25
MATRIX_SIDE = 512
STREAM_BYTES = 64 * 2**20
CALLS = 300
DESCENTS = 500


def measure_speed(vgg: VGG19, look: Callable[[], object] = lambda: None) -> Speed:
    """The speed of `vgg` on its device, as it is busy now.

    `look` is called again and again, some tenths of a second apart; what it raises ends the
    measurement.
    """
    call = _seconds_per_call(vgg.device)
    float32 = _network_speed(vgg, "float32", call, look)
    bfloat16 = _network_speed(vgg, "bfloat16", call, look)
    look()
    return Speed(
        float32=float32,
        bfloat16=bfloat16,
        seconds_per_product_flop=_seconds_per_product_flop(vgg.device),
        seconds_per_byte=_seconds_per_byte(vgg.device),
        seconds_per_call=call,
    )


def _network_speed(
    vgg: VGG19, precision: str, seconds_per_call: float, look: Callable[[], object]
) -> NetworkSpeed:
    """Passes of two depths and of two sizes or more tell three rates."""

    def measure(layer: str, side: int) -> float:
        look()
        return _pass_seconds(vgg, precision, layer, side)

    passes = {(DEEP, SMALL_PX): measure(DEEP, SMALL_PX)}
    for large in LARGE_PX:
        passes[DEEP, large] = measure(DEEP, large)
        if passes[DEEP, large] > LONG_SECONDS:
            break
    for side in (SMALL_PX, large):
        passes[SHALLOW, side] = measure(SHALLOW, side)
    work = [network_pass([layer], (side, side)) * 2 for layer, side in passes]
    flops, values, weights = non_negative_rates(
        [(w.flops, w.values, w.weights) for w in work],
        [
            # What the calls do is never nothing
            max(seconds - w.calls * seconds_per_call, seconds / 10)
            for w, seconds in zip(work, passes.values(), strict=True)
        ],
    )
    return NetworkSpeed(
        seconds_per_flop=flops, seconds_per_value=values, seconds_per_weight=weights
    )


def _pass_seconds(vgg: VGG19, precision: str, layer: str, side: int) -> float:
    """Seconds of a way through the network to `layer` and back."""
    network = vgg.network([layer], PRECISIONS[precision])
    picture = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0)).to(vgg.device)

    def there_and_back() -> None:
        network.backward(network.forward(picture, lambda *_: None), lambda *_: None)

    return _seconds(there_and_back, vgg.device)


def _seconds_per_call(device: torch.device) -> float:
    number = torch.zeros((), device=device)

    def calls() -> None:
        for _ in range(CALLS):
            number.add_(1)

    return _seconds(calls, device) / CALLS


def _seconds_per_product_flop(device: torch.device) -> float:
    matrix = torch.ones(MATRIX_SIDE, MATRIX_SIDE, device=device)
    return _seconds(lambda: matrix @ matrix, device) / (2 * MATRIX_SIDE**3)


def _seconds_per_byte(device: torch.device) -> float:
    """Of reading a history as L-BFGS does: rows of pictures, times two columns."""
    rows = 16
    history = torch.ones(rows, STREAM_BYTES // (4 * rows), device=device)
    columns = torch.ones(history.shape[1], 2, device=device)
    return _seconds(lambda: history @ columns, device) / STREAM_BYTES


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least of a few times: the first warms up, and what disturbs only adds."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < REPEATS and sum(times) < PATIENCE_SECONDS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)


def non_negative_rates(work: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Rates r >= 0 with work · r ≈ seconds, by least squares of the relative errors.

    By coordinate descent, for which a handful of rates needs no library.
    """
    rows = [[amount / time for amount in row] for row, time in zip(work, seconds, strict=True)]
    scale = [max(column) for column in zip(*rows, strict=True)]
    rows = [[amount / most for amount, most in zip(row, scale, strict=True)] for row in rows]
    rates = [0.0] * len(scale)
    for _ in range(DESCENTS):
        for index in range(len(rates)):
            slope = square = 0.0
            for row in rows:
                missing = 1 - sum(amount * rate for amount, rate in zip(row, rates, strict=True))
                slope += row[index] * missing
                square += row[index] ** 2
            rates[index] = max(0.0, rates[index] + slope / square)
    return [rate / most for rate, most in zip(rates, scale, strict=True)]
