"""The open fonts that the glyph pipeline learns from: pinned, fetched from npm, and credited."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "gptfl" / "fonts"
ALLOWED_LICENCES = ("OFL-1.1", "Apache-2.0")

HANDWRITTEN = (
    "annie-use-your-telescope",
    "architects-daughter",
    "bad-script",
    "balsamiq-sans",
    "caveat",
    "caveat-brush",
    "chilanka",
    "comic-neue",
    "comic-relief",
    "covered-by-your-grace",
    "delicious-handrawn",
    "delius",
    "finger-paint",
    "gaegu",
    "gloria-hallelujah",
    "gochi-hand",
    "grandstander",
    "handlee",
    "happy-monkey",
    "homemade-apple",
    "indie-flower",
    "itim",
    "kalam",
    "mansalva",
    "marck-script",
    "nanum-pen-script",
    "neucha",
    "patrick-hand",
    "permanent-marker",
    "playpen-sans",
    "poor-story",
    "reenie-beanie",
    "rock-salt",
    "schoolbell",
    "shadows-into-light",
    "shantell-sans",
    "short-stack",
    "sriracha",
    "sue-ellen-francisco",
    "swanky-and-moo-moo",
    "the-girl-next-door",
    "oooh-baby",
    "twinkle-star",
    "knewave",
    "bubblegum-sans",
    "londrina-solid",
    "sniglet",
    "coiny",
    "fredoka",
    "farsan",
    "amatic-sc",
    "cedarville-cursive",
)
CURSIVE = (
    "dancing-script",
    "courgette",
    "damion",
    "cookie",
    "satisfy",
    "yellowtail",
    "kaushan-script",
    "pacifico",
    "sacramento",
    "smooch",
    "grand-hotel",
    "berkshire-swash",
    "vibur",
)
PRINTED = (
    "inter",
    "roboto",
    "roboto-slab",
    "roboto-mono",
    "open-sans",
    "lato",
    "montserrat",
    "source-sans-3",
    "source-serif-4",
    "noto-sans",
    "noto-serif",
    "merriweather",
    "fira-sans",
    "ibm-plex-sans",
    "ibm-plex-serif",
    "ibm-plex-mono",
    "pt-sans",
    "pt-serif",
    "tinos",
    "arimo",
    "cousine",
    "eb-garamond",
    "lora",
    "nunito",
    "quicksand",
    "oswald",
    "bitter",
    "overpass",
    "dosis",
    "rubik",
    "zilla-slab",
    "courier-prime",
    "jetbrains-mono",
    "varela-round",
    "comfortaa",
    "josefin-sans",
    "barlow-condensed",
)
# Their small letters are drawn as capitals, so they would teach the wrong shapes.
CAPITALS_ONLY = frozenset({"amatic-sc", "permanent-marker", "rock-salt", "covered-by-your-grace"})
VERSION = "5.3.0"
OTHER_VERSIONS = {"happy-monkey": "5.2.8", "source-serif-4": "5.3.1"}


@dataclass(frozen=True)
class Face:
    """One font file."""

    package: str
    style: str
    path: Path

    @property
    def has_small_letters(self) -> bool:
        """Whether a and A differ."""
        return self.package not in CAPITALS_ONLY


def packages() -> dict[str, str]:
    """Package name to style, in a fixed order."""
    styles = {"handwritten": HANDWRITTEN, "cursive": CURSIVE, "printed": PRINTED}
    return {name: style for style, names in styles.items() for name in names}


def pin(name: str) -> str:
    """The package with its version, as npm takes it."""
    return f"@fontsource/{name}@{OTHER_VERSIONS.get(name, VERSION)}"


def fetch(cache: Path = CACHE) -> Path:
    """Install the pinned packages below `cache` (once) and return the folder that holds them."""
    folder = cache / "node_modules" / "@fontsource"
    missing = [name for name in packages() if not (folder / name / "package.json").is_file()]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text('{"private": true}\n')
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(["npm", "install", *flags, *map(pin, packages())], cwd=cache, check=True)
    for name in packages():
        licence(folder / name)
    return folder


def faces(cache: Path = CACHE) -> list[Face]:
    """Every upright latin file of every package."""
    folder = fetch(cache)
    found = []
    for name, style in packages().items():
        files = sorted((folder / name / "files").glob(f"{name}-latin-[1-9]00-normal.woff2"))
        if not files:
            raise FileNotFoundError(f"{name}: no upright latin file")
        found += [Face(name, style, file) for file in files]
    return found


def licence(package: Path) -> str:
    """The package's licence, or an error when it is not one that allows what we do."""
    name = str(json.loads((package / "package.json").read_text())["license"])
    if name not in ALLOWED_LICENCES:
        raise ValueError(f"{package.name}: licence {name} is not one of {ALLOWED_LICENCES}")
    return name


def copyright_line(package: Path) -> str:
    """Who made the font, as the package's metadata says (the licence file may not)."""
    metadata = json.loads((package / "metadata.json").read_text())
    line = str(metadata["license"]["attribution"]).strip()
    # One line per file of the family in some packages: the first says all.
    return (
        next(iter(line.splitlines())).split(".ttf:")[0].rsplit(" ", 1)[0]
        if ".ttf:" in line
        else line
    )


def notice(cache: Path = CACHE) -> str:
    """The text of NOTICE."""
    return "\n".join(_notice_lines(fetch(cache))) + "\n"


def _notice_lines(folder: Path) -> Iterator[str]:
    yield "gptfl"
    yield ""
    yield "The weights in services/gptfl/generation/glyphs were trained by tools/glyphs on glyphs"
    yield "drawn with the fonts below, each an npm package of that name. No font file is part of"
    yield "this repository. OFL-1.1 is the SIL Open Font License, version 1.1."
    yield ""
    for name in sorted(packages()):
        yield f"{pin(name)} ({licence(folder / name)})"
        yield f"    {copyright_line(folder / name)}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--notice", type=Path, help="write the credits to this file")
    arguments = parser.parse_args()
    print(f"{len(faces(arguments.cache))} font files in {arguments.cache}")
    if arguments.notice:
        arguments.notice.write_text(notice(arguments.cache))


if __name__ == "__main__":
    main()
