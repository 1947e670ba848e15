"""The literal loop of the bench minimises what the engine minimises."""

from bench.literal import LiteralLoop, preprocess, vgg19
from shared.parameters import Parameters
from tests.worker.engine.conftest import paint_content, paint_style, relative_error
from worker.engine import VGG19, Stylization, load_weights
from worker.engine.space import Space

MAX_ERROR = 1e-4


def test_its_loss_and_gradient_are_those_of_the_engine() -> None:
    weights = load_weights("oxford-q8")
    vgg = VGG19(weights, "cpu")
    content, style = paint_content(48, 64), paint_style(48, 64)
    start = paint_style(48, 64, seed=2)
    loop = LiteralLoop(vgg19(weights), content, style)
    loop.x.data = preprocess(start)
    loss = loop.evaluate()
    assert loop.x.grad is not None

    parameters = Parameters(preset="neural-style", size=64, precision="float32")
    run = Stylization(vgg, content, [style], parameters)
    objective = run._objective(0, "float32", recompute=False)
    losses, gradient = objective(Space.named("bytes", vgg.device).from_pixels(start))

    assert abs(losses.total.item() / loss.item() - 1) < MAX_ERROR
    assert relative_error(gradient, loop.x.grad[0]) < MAX_ERROR
