"""Parser of a page, and other helpers of the tests of the report."""

import base64
import json
import zlib
from html.parser import HTMLParser

import numpy as np
from scipy.fft import idctn

from sklearn_iqt.persistence import ModelCard, TrainingCard

# Axes run to left, superior and posterior: turning a volume upright flips and swaps axes.
AFFINE = np.array([[-1.0, 0, 0, 12], [0, 0, -1.5, 20], [0, 2.0, 0, -8], [0, 0, 0, 1]])
VIEW_AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
EVIL = '"\'><img src=x onerror="window.caught=1"></script><script>window.caught=1</script>&lt;'


def make_labels(shape=(40, 36, 48)):
    """Return a label map of shells, thick enough to contain voxels of one tissue."""
    i, j, k = np.indices(shape) - (np.reshape(shape, (3, 1, 1, 1)) - 1) / 2
    radius = np.sqrt((i / shape[0]) ** 2 + (j / shape[1]) ** 2 + (k / shape[2]) ** 2)
    return np.digitize(-radius, [-0.46, -0.41, -0.3])


def make_card(version="0", **training):
    """Return the card of a model file."""
    return ModelCard(
        class_name="PatchwiseRegressor",
        params={},
        version=version,
        training=TrainingCard(**training),
        format=2,
        arrays={},
    )


class Page(HTMLParser):
    """Tags and texts of a page, split like a browser does."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.blocks, self.cells, self._open = [], {}, [], None
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs).get("id"))
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self._open and self._open[0] in ("th", "td"):
            self.cells[-1] += data
        self.blocks[self._open] = self.blocks.get(self._open, "") + data

    def handle_endtag(self, tag):
        self._open = None

    def after(self, text, n=1):
        """Return the cell that follows another."""
        return self.cells[self.cells.index(text) + n]

    @property
    def setup(self):
        return json.loads(self.blocks["script", "setup"])


def unpack(text, layer):
    """Return the levels of a volume, one block after another."""
    stored = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(int)
    low, high = np.split(stored, 2)
    unsigned = (low + 256 * high).reshape(512, -1)
    multiples = np.where(unsigned % 2, -(unsigned + 1) // 2, unsigned // 2)
    frequencies = sorted(np.ndindex(8, 8, 8), key=sum)
    grid = [-(-n // 8) for n in layer["shape"]]
    levels = np.zeros([8 * n for n in grid])
    for n, corner in enumerate(np.ndindex(*grid)):
        block = np.zeros((8, 8, 8))
        for place, frequency in enumerate(frequencies):
            block[frequency] = layer["rounded"] * multiples[place, n]
        levels[tuple(slice(8 * c, 8 * c + 8) for c in corner)] = idctn(block, norm="ortho")
    inside = tuple(slice(n) for n in layer["shape"])
    return np.clip(np.rint(levels[inside]), 0, 255)
