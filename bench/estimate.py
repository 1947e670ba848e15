"""How well jobs are estimated: predicted beside measured, each case in a worker of its own."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.peak import forget_peak, peak_bytes
from shared.parameters import Parameters
from worker.commands.worker import MALLOC
from worker.engine import VGG19, Stylization, estimate, load_weights, measure_speed

CONTENT = (600, 800)  # height and width, px
STYLES = ((500, 700), (720, 540))
CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (  # name, styles, parameters
    ("default 128", 1, {"size": 128, "steps": 30}),
    ("default 256", 1, {"size": 256, "steps": 30}),
    ("default 512", 1, {"size": 512, "steps": 30}),
    ("default 768", 1, {"size": 768, "steps": 12}),
    ("default 384, float32", 1, {"size": 384, "steps": 20, "precision": "float32"}),
    ("neural-style 256", 1, {"preset": "neural-style", "size": 256, "steps": 60}),
    ("neural-style 512", 1, {"preset": "neural-style", "size": 512, "steps": 20}),
    (
        "neural-style 384, float32",
        1,
        {"preset": "neural-style", "size": 384, "steps": 15, "precision": "float32"},
    ),
    ("wasserstein 256", 1, {"preset": "wasserstein", "size": 256, "steps": 30}),
    ("wasserstein 512", 1, {"preset": "wasserstein", "size": 512, "steps": 20}),
    ("Adam 384", 1, {"size": 384, "steps": 20, "optimizer": "adam", "pyramid": None}),
    ("texture 384", 1, {"preset": "texture", "size": 384, "steps": 30}),
    ("reconstruction 384", 0, {"preset": "reconstruction", "size": 384, "steps": 20}),
    ("two styles 384", 2, {"size": 384, "steps": 20}),
    ("average pooling 384", 1, {"size": 384, "steps": 20, "pooling": "average"}),
    (
        "line search 256",
        1,
        {"size": 256, "steps": 20, "pyramid": None, "line_search": "strong-wolfe"},
    ),
)


def measure(console: Console) -> None:
    """Print the table of all cases."""
    load = os.getloadavg()[0]
    table = Table("", "predicted s", "measured s", "", "predicted MB", "measured MB", "")
    for index, (name, _, _) in enumerate(CASES):
        command = [sys.executable, "-m", "bench.estimate", str(index)]
        with console.status(name):
            result = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, env={**MALLOC, **os.environ}
            )
            found = json.loads(result.stdout)
        table.add_row(
            name,
            f"{found['predicted_seconds']:.2f}",
            f"{found['seconds']:.2f}",
            f"{found['predicted_seconds'] / found['seconds'] - 1:+.0%}",
            f"{found['predicted_bytes'] / 1e6:.0f}",
            f"{found['bytes'] / 1e6:.0f}",
            f"{found['predicted_bytes'] / found['bytes'] - 1:+.0%}",
        )
    console.print(table)
    console.print(f"load of the machine before: {load:.1f}; after: {os.getloadavg()[0]:.1f}")


def paint(index: int) -> dict[str, float]:
    """Estimate a case and paint it, as a worker does that has painted before."""
    _, count, values = CASES[index]
    parameters = Parameters.model_validate(values)
    vgg = VGG19(load_weights("oxford-q8"))
    speed = measure_speed(vgg)
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(3, *CONTENT, generator=generator)
    styles = [torch.rand(3, *shape, generator=generator) for shape in STYLES[:count]]
    small = parameters.model_copy(update={"size": 64, "steps": 2, "pyramid": None})
    for _ in Stylization(vgg, content, styles, small):
        pass  # the weights are in their places now
    expected = estimate(Stylization(vgg, content, styles, parameters), speed)
    given = 4 * sum(image.numel() for image in [content, *styles])
    before = forget_peak(vgg.device)
    started = time.perf_counter()
    run = Stylization(vgg, content, styles, parameters)
    for _ in run:
        pass
    run.picture()
    run.delivered_losses(run.provenance.precision)
    return {
        "predicted_seconds": expected.seconds,
        "seconds": time.perf_counter() - started,
        "predicted_bytes": expected.memory_bytes,
        "bytes": peak_bytes(vgg.device) - before + given,
    }


if __name__ == "__main__":
    print(json.dumps(paint(int(sys.argv[1]))))
