"""Changes the colors of images as Pillow does, to the bit: brightness, contrast, color, sharpness, and by histogram.

Functions take uint8 images [B, 3, H, W] and return new ones. Most look each pixel up in a table of its image.
"""

import torch
from torch import Tensor


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blends with black: 0 is black, 1 the image, more is brighter. `factor` is float32 [B]."""
    return _looked_up(images, _blend(0.0, _values(images), factor[:, None, None]))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blends with the mean gray level of the image: 0 is that gray, 1 the image. `factor` is float32 [B]."""
    num_pixels = images.shape[2] * images.shape[3]
    total = _gray(images).sum((1, 2, 3))  # B, int64
    mean = (2 * total + num_pixels).div(2 * num_pixels, rounding_mode="floor").float()
    return _looked_up(images, _blend(mean[:, None, None], _values(images), factor[:, None, None]))


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Blends with the gray image: 0 is gray, 1 the image, more is more colorful. `factor` is float32 [B]."""
    return _blend(_gray(images).float(), images.float(), factor[:, None, None, None])


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blends with a smoothed image, except at the border: 0 is smooth, 1 the image. `factor` is float32 [B]."""
    if min(images.shape[2:]) < 3:
        return images
    exact = images.float()
    rows = exact[:, :, :-2] + exact[:, :, 1:-1] + exact[:, :, 2:]
    inner = exact[:, :, 1:-1, 1:-1]
    smooth = ((rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) / 13).round_()
    changed = images.clone()
    changed[:, :, 1:-1, 1:-1] = _blend(smooth, inner, factor[:, None, None, None])
    return changed


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest bits of each value; `bits` is int64 [B] in [1, 8]."""
    step = 2 ** (8 - bits)[:, None, None]
    return _looked_up(images, _values(images) // step * step)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts values that are not below a threshold; `threshold` is float32 [B] in [0, 256]."""
    values = _values(images)
    return _looked_up(images, torch.where(values < threshold[:, None, None], values, 255 - values))


def autocontrast(images: Tensor) -> Tensor:
    """Stretches each channel so that its darkest value becomes 0 and its brightest 255."""
    low, high = (extreme.long()[:, :, None] for extreme in (images.amin((2, 3)), images.amax((2, 3))))
    values = _values(images)
    stretched = ((values - low) * 255).div((high - low).clamp(min=1), rounding_mode="floor")
    return _looked_up(images, torch.where(high > low, stretched, values))


def equalize(images: Tensor) -> Tensor:
    """Makes the histogram of each channel as even as a table of values can."""
    flat = images.flatten(2).long()  # B 3 H·W
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(2, keepdim=True))  # of the brightest value that occurs
    step = (flat.shape[2] - last).div(255, rounding_mode="floor")
    below = counts.cumsum(2) - counts
    table = (step // 2 + below).div(step.clamp(min=1), rounding_mode="floor")
    return _looked_up(images, torch.where(step > 0, table, _values(images)))


def _values(images: Tensor) -> Tensor:
    """Returns all values of a pixel, int64 [256]."""
    return torch.arange(256, device=images.device)


def _looked_up(images: Tensor, tables: Tensor) -> Tensor:
    """Returns each pixel's entry in the tables, [B or 1, 3 or 1, 256], cut off at 0 and 255."""
    pixels = images.permute(0, 2, 3, 1)  # B H W 3, contiguous in a store
    tables = tables.clamp(0, 255).to(torch.uint8).expand(len(images), 3, 256)
    first = 256 * torch.arange(3 * len(images), dtype=torch.int32, device=images.device)
    index = pixels + first.view(-1, 1, 1, 3)  # one dimension and 32 bits: much faster than `gather`
    return tables.reshape(-1).index_select(0, index.reshape(-1)).view(pixels.shape).permute(0, 3, 1, 2)


def _gray(images: Tensor) -> Tensor:
    """Returns the gray levels, int32 [B, 1, H, W]: the luma of ITU-R 601-2, rounded."""
    red, green, blue = images.int().split(1, 1)
    weighted: Tensor = 19595 * red + 38470 * green + 7471 * blue + 2**15
    return weighted >> 16


def _blend(degenerate: Tensor | float, images: Tensor, factor: Tensor) -> Tensor:
    """Returns uint8; values are cut off after the decimal point, and at 0 and 255."""
    return (degenerate + factor * (images - degenerate)).clamp_(0, 255).to(torch.uint8)
