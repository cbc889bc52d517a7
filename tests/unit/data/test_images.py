"""Images from anywhere come to the task's shape by the same rules, or are refused in one line."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gptfl.data.images import ImageSet, as_float, decode_image, resample
from gptfl.errors import DataError
from gptfl.spec.task import ImageShape

GREY_8 = ImageShape(channels=1, height=8, width=8)
RGB_8 = ImageShape(channels=3, height=8, width=8)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


class TestResample:
    def test_shrinking_by_a_whole_number_is_the_mean_of_each_block(self) -> None:
        bitmap = (torch.rand(3, 32, 32) > 0.5).to(torch.uint8) * 255
        blocks = bitmap.float().reshape(3, 8, 4, 8, 4).mean((2, 4)).round()
        assert torch.equal(resample(bitmap, 8, 8), blocks.to(torch.uint8))

    def test_a_pixel_cut_by_an_edge_counts_on_both_sides_by_its_parts(self) -> None:
        row = torch.tensor([[[0, 90, 240]]], dtype=torch.uint8)
        # 3 pixels to 2: each covers one and a half, the middle one is shared.
        assert resample(row, 1, 2).tolist() == [[[30, 190]]]

    def test_growing_interpolates_linearly_between_centres(self) -> None:
        row = torch.tensor([[[0, 100]]], dtype=torch.uint8)
        assert resample(row, 1, 4).tolist() == [[[0, 25, 75, 100]]]

    def test_the_same_size_is_the_same_image(self) -> None:
        image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
        assert resample(image, 8, 8) is image

    @given(
        rows=st.integers(1, 20),
        columns=st.integers(1, 20),
        height=st.integers(1, 20),
        width=st.integers(1, 20),
        grey=st.integers(0, 255),
    )
    def test_a_plain_image_stays_plain(
        self, rows: int, columns: int, height: int, width: int, grey: int
    ) -> None:
        plain = torch.full((1, rows, columns), grey, dtype=torch.uint8)
        scaled = resample(plain, height, width)
        assert scaled.shape == (1, height, width)
        assert set(scaled.unique().tolist()) == {grey}

    @given(factor=st.integers(1, 5), height=st.integers(1, 6), seed=st.integers(0, 1000))
    def test_shrinking_by_whole_numbers_keeps_the_mean(
        self, factor: int, height: int, seed: int
    ) -> None:
        image = torch.randint(
            0, 256, (1, height * factor, height * factor),
            generator=torch.Generator().manual_seed(seed), dtype=torch.uint8,
        )  # fmt: skip
        shrunk = resample(image, height, height)
        assert abs(float(shrunk.float().mean() - image.float().mean())) <= 0.5


class TestDecode:
    def test_grey_becomes_three_equal_channels(self) -> None:
        grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
        found = decode_image(png(grey), RGB_8)
        assert found.shape == (3, 8, 8)
        assert torch.equal(found[0], found[1])
        assert found[2].flatten().tolist() == list(range(64))

    def test_colour_becomes_luma(self) -> None:
        red = Image.new("RGB", (8, 8), (255, 0, 0))
        assert decode_image(png(red), GREY_8).unique().tolist() == [76]  # 0.299 of 255

    def test_what_is_transparent_becomes_white(self) -> None:
        clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
        assert decode_image(png(clear), GREY_8).unique().tolist() == [255]
        assert decode_image(png(half), GREY_8).unique().tolist() == [127]

    def test_sixteen_bits_become_eight(self) -> None:
        deep = Image.fromarray(np.full((8, 8), 257 * 100, dtype=np.uint16))
        assert decode_image(png(deep), GREY_8).unique().tolist() == [100]

    def test_a_palette_shows_its_colours(self) -> None:
        palette = Image.new("RGB", (8, 8), (10, 200, 30)).convert("P", palette=Image.Palette.WEB)
        colour = palette.convert("RGB").getpixel((0, 0))
        assert decode_image(png(palette), RGB_8)[:, 0, 0].tolist() == list(colour)

    def test_the_rotation_of_a_camera_is_applied(self) -> None:
        top_white = np.zeros((8, 8), dtype=np.uint8)
        top_white[:4] = 255
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[274] = 3  # upside down
        Image.fromarray(top_white).save(buffer, format="PNG", exif=exif)
        found = decode_image(buffer.getvalue(), GREY_8)[0]
        assert found[0].tolist() == [0] * 8
        assert found[7].tolist() == [255] * 8

    @pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3), (8, 8, 4)])
    def test_pixels_are_taken_as_they_are(self, shape: tuple[int, ...]) -> None:
        assert decode_image(np.full(shape, 255, dtype=np.uint8), RGB_8).unique().tolist() == [255]

    def test_pixels_of_another_type_are_refused(self) -> None:
        with pytest.raises(DataError, match=r"shape \[8, 8\] and type float64 are not an image"):
            decode_image(np.zeros((8, 8)), GREY_8)  # type: ignore[arg-type]

    def test_what_is_no_image_is_refused(self) -> None:
        with pytest.raises(DataError, match=r"^cannot be read as an image \(unknown format\)$"):
            decode_image(b"GIF or not", GREY_8)

    def test_half_an_image_is_refused(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
        data = png(Image.fromarray(noise))
        with pytest.raises(DataError, match="cannot be read as an image"):
            decode_image(data[: len(data) // 2], GREY_8)

    def test_an_image_with_damaged_words_of_its_camera_is_refused(self) -> None:
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, format="PNG", exif=b"no such thing")
        with pytest.raises(DataError, match="cannot be read as an image"):
            decode_image(buffer.getvalue(), GREY_8)

    def test_an_image_made_to_fill_the_memory_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        for side in (12, 20):  # where Pillow only warns, and where it raises
            with pytest.raises(DataError, match="more than 100 pixels; make it smaller"):
                decode_image(png(Image.new("L", (side, side))), GREY_8)

    def test_floating_point_pixels_are_refused(self) -> None:
        with pytest.raises(DataError, match="range is not known"):
            decode_image(Image.new("F", (8, 8)), GREY_8)


def test_a_set_is_taken_in_the_order_asked_for() -> None:
    images = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1)
    taken = ImageSet(images, torch.tensor([10, 11, 12])).take(np.array([2, 0]))
    assert taken.labels.tolist() == [12, 10]
    assert taken.images.flatten().tolist() == [2, 0]


def test_floats_reach_from_nothing_to_one() -> None:
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [0, 0.2, 1]
    )
