"""The files that `impasto stylize` paints from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from torch import Tensor

from client.files import Images
from client.terminal import Failure
from shared.errors import ImpastoError
from shared.images import DEFAULT_LIMITS, ImageLimits
from shared.jobs import Inputs
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization
from worker.pictures import Picture, read_mask, read_picture

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """The pictures of a run, and the hashes of their files."""

    content: Picture | None
    styles: list[Tensor]
    masks: list[Tensor]
    init: Tensor | None
    digests: Inputs

    @classmethod
    def read(cls, images: Images, parameters: Parameters) -> Self:
        """Read all files, as large as `parameters` need them.

        Raises:
            Failure: a file is not a picture; the message names it.
            OSError: a file cannot be read.
        """
        hashes: dict[Path, str] = {}

        def decode(path: Path, decoder: Callable[[bytes, ImageLimits, int], T], size: int) -> T:
            data = path.read_bytes()
            hashes[path] = hashlib.sha256(data).hexdigest()
            try:
                return decoder(data, DEFAULT_LIMITS, size)
            except ImpastoError as error:
                raise Failure(f"{path}: {error}") from None

        content = decode(images.content, read_picture, parameters.size) if images.content else None
        styles = [
            decode(path, read_picture, parameters.style_size).pixels for path in images.styles
        ]
        masks = [decode(path, read_mask, parameters.size) for path in images.masks]
        init = decode(images.init, read_picture, parameters.size).pixels if images.init else None
        digests = Inputs(
            content=hashes[images.content] if images.content else None,
            styles=[hashes[path] for path in images.styles],
            masks=[hashes[path] for path in images.masks],
            init=hashes[images.init] if images.init else None,
        )
        return cls(content, styles, masks, init, digests)

    @property
    def alpha(self) -> Tensor | None:
        """Transparency of the content, (H, W)."""
        return self.content.alpha if self.content else None

    def stylization(self, network: VGG19, parameters: Parameters) -> Stylization:
        """The run that paints with them."""
        return Stylization(
            network,
            self.content.pixels if self.content else None,
            self.styles,
            parameters,
            masks=self.masks,
            init=self.init,
        )
