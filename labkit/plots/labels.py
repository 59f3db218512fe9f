"""Labels beside the ends of lines, moved apart just as far as they must be."""

from collections.abc import Sequence


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Centres for labels of the given heights, near the wanted ones, none over another.

    Labels that would overlap become a block, which sits where its members on average want to be
    (pool adjacent violators: the least sum of squared shifts). All lengths in one unit. Where
    there is less room between low and high than labels, they are closed up evenly.

    Returns:
        The centres, in the order of `wanted`.
    """
    room = high - low
    if sum(heights) > room > 0:
        heights = [h * room / sum(heights) for h in heights]
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[int]] = []
    tops: list[float] = []  # where each block begins

    def place(block: list[int]) -> float:
        offset, total = 0.0, 0.0
        for i in block:
            total += wanted[i] - heights[i] / 2 - offset
            offset += heights[i]
        return min(max(total / len(block), low), max(high - offset, low))

    for i in order:
        block = [i]
        start = place(block)
        while blocks and tops[-1] + sum(heights[j] for j in blocks[-1]) > start:
            block = blocks.pop() + block
            tops.pop()
            start = place(block)
        blocks.append(block)
        tops.append(start)

    centres = [0.0] * len(wanted)
    for block, start in zip(blocks, tops, strict=True):
        for i in block:
            centres[i] = start + heights[i] / 2
            start += heights[i]
    return centres
