"""Writes three folders of private images, as three clinics might have them, and a test set.

Each has a folder for each class: `clinic-a/zero/0001.png`. The pictures are scikit-learn's digits.
"""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HERE = Path(__file__).parent / "data"
PARTS = {
    "clinic-a": (range(300), range(4)),
    "clinic-b": (range(300, 600), range(3, 7)),
    "clinic-c": (range(600, 900), range(6, 10)),
    "test": (range(1400, 1797), range(10)),
}


def main() -> None:
    """Writes the images of each part, of the digits that it has."""
    digits = load_digits()
    for part, (rows, labels) in PARTS.items():
        for row in rows:
            label = int(digits.target[row])
            if label in labels:
                folder = HERE / part / NAMES[label]
                folder.mkdir(parents=True, exist_ok=True)
                pixels = (digits.images[row] * (255 / 16)).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{row:04}.png")


if __name__ == "__main__":
    main()
