"""`impasto up` and `impasto demo`: the whole system on this machine, with one command."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from client.client import Impasto
from client.errors import ClientError
from client.following import follow
from client.terminal import Failure, end, stderr
from deploy.embedded import interrupts
from deploy.embedded.data import DataFolder
from deploy.embedded.process import StartError
from deploy.embedded.stack import Stack

DATA_ROOT = Path(".impasto")
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SUPERVISE_SECONDS = 0.5


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of the page and the API. [default: 8080 or next]",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for jobs, pictures and logs. [default: the first free one under {DATA_ROOT}/]",
)
def up(port: int | None, workers: int, data: Path | None) -> None:
    """Run the whole system on this machine until Ctrl-C: Redis, S3, the API, the page, workers."""
    with (
        _failures(),
        DataFolder(data) if data else DataFolder.first_free(DATA_ROOT) as folder,
        Stack(folder, workers=workers, port=port, report=_report) as stack,
    ):
        click.echo(f"Impasto is up. The page: {stack.url}/   The API: {stack.url}/docs")
        click.echo(f"Data and logs: {folder.path}   Ctrl-C stops everything.")
        while True:
            time.sleep(SUPERVISE_SECONDS)
            stack.supervise()


@click.command()
@click.option(
    "--content", type=click.Path(exists=True, dir_okay=False), default=str(SAMPLES / "harbor.jpg")
)
@click.option(
    "--style", type=click.Path(exists=True, dir_okay=False), default=str(SAMPLES / "swirl.jpg")
)
@click.option("--size", type=int, default=512, show_default=True, help="Long side, px.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the picture and its manifest.",
)
def demo(content: str, style: str, size: int, output: Path) -> None:
    """Start everything, post the sample pictures, show the progress, save the picture, stop."""
    output.mkdir(parents=True, exist_ok=True)
    with (
        _failures(),
        tempfile.TemporaryDirectory(prefix="impasto-demo-") as data,
        DataFolder(Path(data)) as folder,
        Stack(folder, workers=1, port=None, report=_report) as stack,
        Impasto(stack.url) as impasto,
    ):
        _report(f"Posting {Path(content).name} and {Path(style).name} to {stack.url}/v1/jobs")
        job = follow(
            impasto, impasto.submit(content, [style], size=size).id, at_each=stack.supervise
        )
        end(job)
        picture, manifest = output / "result.png", output / "manifest.json"
        impasto.save_result(job.id, picture)
        manifest.write_text(json.dumps(impasto.manifest(job.id), indent=2) + "\n")
    click.echo(f"The picture:  {picture.resolve()}")
    click.echo(f"Its manifest: {manifest.resolve()}")


def _report(line: str) -> None:
    stderr.print(line, highlight=False)


@contextmanager
def _failures() -> Iterator[None]:
    """End with a sentence, and when interrupted, in order."""
    interrupts.install()
    try:
        yield
    except (StartError, ClientError) as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        stderr.print("Stopped.")
        raise SystemExit(130) from None
