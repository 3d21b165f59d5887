"""Retrieval examples as a figure, after Figure 5 of the CM-GANs paper: right items green, wrong ones red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from cmbench.report.examples import HEADINGS, Answer, Example, Item
from cmbench.report.figure import STYLE, WIDTHS
from cmbench.report.lettering import clipped, folded, inches, shortened
from cmbench.report.raw_pairs import Pair

RIGHT, WRONG, QUERY = "#00714F", "#C8371B", "0.35"
"""Colours of frames; wrong ones are dashed too, and a mark stands beside every one."""
MARKS = {True: "✓", False: "✗"}
_POINTS, _SMALL = 7.0, 6.5
_LINE, _SMALL_LINE = 0.13, 0.105  # inches from a line of text to the next
_GAP, _MARGIN, _PAD = 0.07, 0.05, 0.035
_NARROWEST_LIST = 1.75  # inches of a list of texts; with less there is one beside another
_BOLD = 1.15  # times the width of plain letters
_TEXT_LINES = 3  # of a text that was retrieved
_LARGEST_PICTURE = 0.95
_CATEGORY_SHARE = 0.3  # of the width of a list
_MARK_WIDTH = 0.1  # inches of a mark and the space after it
_DOTS = 300  # of pictures, per inch


def figure(
    examples: Sequence[Example], pairs: Mapping[str, Pair], *, width: float = WIDTHS["page"], note: str = ""
) -> Figure:
    """Return a figure of these examples: the query on the left, beside it what each method retrieved.

    Pictures stand in a row for each method, texts in a list, from the most similar. Every item has its
    category; what is relevant has a green frame and ✓, other items a red dashed one and ✗. Texts are cut
    between words. At the foot stands what the frames mean, and ``note``.

    Parameters
    ----------
    examples : at least one
    pairs : pictures and texts by the ids of the examples
    width : inches
    """
    with mpl.rc_context(STYLE):
        plan = _Plan(width, pairs)
        heights = [plan.height(example) for example in examples]
        foot = plan.foot_lines(note)
        total = sum(heights) + (len(examples) - 1) * 2 * _GAP + (len(foot) + 1) * _LINE + 2 * _MARGIN
        drawing = Figure(figsize=(width, total))
        top = total - _MARGIN
        for at, (example, height) in enumerate(zip(examples, heights, strict=True)):
            if at:
                top -= 2 * _GAP
                _rule(drawing, top + _GAP, width)
            _Page(drawing, plan).example(example, top)
            top -= height
        _Page(drawing, plan).foot(foot, top - 0.3 * _LINE)
    return drawing


def shown_ids(examples: Sequence[Example]) -> dict[str, str | None]:
    """Return the id of every pair that examples show, with its category."""
    items = [
        item
        for example in examples
        for item in (example.query, *(item for answer in example.answers for item in answer.items))
    ]
    return {item.id: item.category or None for item in items}


@dataclass(frozen=True)
class _Plan:
    """Where things go across the figure, and how high they are; in inches."""

    width: float
    pairs: Mapping[str, Pair]

    @property
    def query_width(self) -> float:
        return min(1.3, max(0.72, 0.2 * self.width))

    @property
    def answers_left(self) -> float:
        return _MARGIN + self.query_width + 1.5 * _GAP

    @property
    def answers_width(self) -> float:
        return self.width - _MARGIN - self.answers_left

    def lists(self, example: Example) -> int:
        """Return how many lists of texts stand beside one another."""
        return max(1, min(len(example.answers), int(self.answers_width / _NARROWEST_LIST)))

    def list_width(self, example: Example) -> float:
        beside = self.lists(example)
        return (self.answers_width - (beside - 1) * _GAP) / beside

    def side(self, answer: Answer) -> float:
        """Return the side of the pictures in a row."""
        count = max(1, len(answer.items))
        return min(_LARGEST_PICTURE, (self.answers_width - (count - 1) * _GAP) / count)

    def answer_height(self, example: Example, answer: Answer) -> float:
        if _is_list(example):
            return _LINE + len(answer.items) * (_item_height() + _PAD) + _GAP
        captions = 1 + any(item.is_query for item in answer.items)
        return _LINE + self.side(answer) + captions * _SMALL_LINE + _PAD + _GAP

    def query_lines(self, example: Example) -> list[str]:
        """Return a query's text, as long as the answers beside it leave room."""
        room = self.answers_height(example) - 2 * _PAD - _LINE
        lines = max(6, int(room / _SMALL_LINE))
        width = self.query_width - 2 * _PAD
        return folded(self.pairs[example.query.id].text, width=width, lines=lines, points=_SMALL)

    def query_height(self, example: Example) -> float:
        if example.query.modality == "text":
            return len(self.query_lines(example)) * _SMALL_LINE + 2 * _PAD + _LINE
        return self.query_width + _LINE

    def answers_height(self, example: Example) -> float:
        heights = [self.answer_height(example, answer) for answer in example.answers]
        beside = self.lists(example) if _is_list(example) else 1
        return sum(max(heights[at : at + beside]) for at in range(0, len(heights), beside))

    def height(self, example: Example) -> float:
        return _LINE + max(self.answers_height(example), self.query_height(example))

    def foot_lines(self, note: str) -> list[str]:
        return folded(note, width=self.width - 2 * _MARGIN, lines=4, points=_SMALL)


def _is_list(example: Example) -> bool:
    """Whether texts alone were retrieved; pictures, and a mixture, stand in rows."""
    return example.task.endswith("_to_text")


def _item_height() -> float:
    return _TEXT_LINES * _SMALL_LINE + 2 * _PAD


@dataclass(frozen=True)
class _Page:
    """Draws onto a figure, in inches from its left and lower edges."""

    drawing: Figure
    plan: _Plan

    def example(self, example: Example, top: float) -> None:
        heading = f"{HEADINGS[example.task]}: {example.query.category or example.query.id}"
        room = (self.plan.width - 2 * _MARGIN) / _BOLD
        self._write(shortened(heading, width=room, points=_POINTS), _MARGIN, top, bold=True)
        top -= _LINE
        self._query(example, top)
        beside = self.plan.lists(example) if _is_list(example) else 1
        heights = [self.plan.answer_height(example, answer) for answer in example.answers]
        for start in range(0, len(heights), beside):
            for place, answer in enumerate(example.answers[start : start + beside]):
                left = self.plan.answers_left + place * (self.plan.list_width(example) + _GAP)
                self._answer(example, answer, left, top)
            top -= max(heights[start : start + beside])

    def foot(self, lines: Sequence[str], top: float) -> None:
        left = _MARGIN
        for is_right, meaning in ((True, "relevant"), (False, "not relevant")):
            self._frame(left, top - 0.1, 0.16, 0.09, is_right=is_right)
            words = f"{MARKS[is_right]} {meaning}"
            self._write(words, left + 0.22, top, colour=_colour(is_right))
            left += 0.22 + inches(words, _SMALL) + 0.2
        for line in lines:
            top -= _LINE
            self._write(line, _MARGIN, top, colour="0.35")

    def _query(self, example: Example, top: float) -> None:
        width, pair = self.plan.query_width, self.plan.pairs[example.query.id]
        if example.query.modality == "image":
            bottom = top - self._picture(pair, _MARGIN, top, width)
        else:
            lines = self.plan.query_lines(example)
            bottom = top - len(lines) * _SMALL_LINE - 2 * _PAD
            self._box(_MARGIN, bottom, width, top - bottom, edgecolor="black", linewidth=0.6)
            for at, line in enumerate(lines):
                self._write(line, _MARGIN + _PAD, top - _PAD - at * _SMALL_LINE)
        name = shortened(example.query.id, width=width, points=_SMALL)
        self._write(name, _MARGIN, bottom - 0.02, colour="0.35")

    def _answer(self, example: Example, answer: Answer, left: float, top: float) -> None:
        is_list = _is_list(example)
        width = self.plan.list_width(example) if is_list else self.plan.answers_width
        score = f"AP {answer.ap:.3f}"
        room = width - inches(score, _SMALL) - 0.1
        label = shortened(answer.label, width=room / _BOLD, points=_POINTS)
        self._write(label, left, top, bold=True)
        self._write(score, left + _BOLD * inches(label, _POINTS) + 0.1, top, colour="0.35")
        top -= _LINE
        for at, item in enumerate(answer.items):
            if is_list:
                self._text(item, left, top - at * (_item_height() + _PAD), width)
            else:
                side = self.plan.side(answer)
                self._tile(item, left + at * (side + _GAP), top, side)

    def _text(self, item: Item, left: float, top: float, width: float) -> None:
        """Draw a text in its frame, mark and category on the left."""
        height, marked = _item_height(), _MARK_WIDTH + _CATEGORY_SHARE * width
        self._frame(left, top - height, width, height, is_right=item.is_right)
        category = folded(item.category, width=marked - _MARK_WIDTH, lines=_TEXT_LINES, points=_SMALL)
        self._marked(item, category, left + _PAD, top - _PAD)
        room = width - marked - 3 * _PAD
        text = folded(self.plan.pairs[item.id].text, width=room, lines=_TEXT_LINES, points=_SMALL)
        for at, line in enumerate(text):
            self._write(line, left + marked + 2 * _PAD, top - _PAD - at * _SMALL_LINE)

    def _tile(self, item: Item, left: float, top: float, side: float) -> None:
        """Draw a picture, or a text of the same size, in its frame, mark and category below."""
        inset = 0.03
        pair = self.plan.pairs[item.id]
        if item.modality == "image":
            self._picture(pair, left + inset, top - inset, side - 2 * inset, centred=True)
        else:
            lines = int((side - 2 * _PAD) / _SMALL_LINE)
            text = folded(pair.text, width=side - 2 * _PAD, lines=lines, points=_SMALL)
            for at, line in enumerate(text):
                self._write(line, left + _PAD, top - _PAD - at * _SMALL_LINE)
        self._frame(left, top - side, side, side, is_right=item.is_right)
        category = clipped(item.category, width=side + 0.5 * _GAP - _MARK_WIDTH, points=_SMALL)
        self._marked(item, [category], left, top - side - 0.02)
        if item.is_query:
            self._write("the query", left, top - side - 0.02 - _SMALL_LINE, colour=QUERY)

    def _marked(self, item: Item, category: Sequence[str], left: float, top: float) -> None:
        """Write whether an item is right, and beside the mark the lines of its category."""
        colour = _colour(item.is_right)
        self._write(MARKS[item.is_right], left, top, colour=colour)
        for at, line in enumerate(category):
            self._write(line, left + _MARK_WIDTH, top - at * _SMALL_LINE, colour=colour)

    def _picture(self, pair: Pair, left: float, top: float, side: float, *, centred: bool = False) -> float:
        """Draw a picture into a square, as large as its shape allows, and return its height."""
        picture = Image.fromarray(pair.picture())
        picture.thumbnail((int(side * _DOTS), int(side * _DOTS)))
        width, height = (side * size / max(picture.size) for size in picture.size)
        page_width, page_height = self.drawing.get_size_inches()
        place = (left + (side - width) / 2, top - height - (side - height) / 2 * centred)
        axes = self.drawing.add_axes(
            (place[0] / page_width, place[1] / page_height, width / page_width, height / page_height)
        )
        axes.imshow(picture, aspect="auto")
        axes.set_axis_off()
        return height

    def _frame(self, left: float, bottom: float, width: float, height: float, *, is_right: bool) -> None:
        style = "solid" if is_right else (0, (3, 1.5))
        self._box(left, bottom, width, height, edgecolor=_colour(is_right), linewidth=1.1, linestyle=style)

    def _box(self, left: float, bottom: float, width: float, height: float, **look: Any) -> None:
        transform = self.drawing.dpi_scale_trans
        self.drawing.add_artist(
            Rectangle((left, bottom), width, height, fill=False, transform=transform, **look)
        )

    def _write(self, text: str, x: float, top: float, *, bold: bool = False, colour: str = "black") -> None:
        self.drawing.text(
            x,
            top,
            text,
            transform=self.drawing.dpi_scale_trans,
            fontsize=_POINTS if bold else _SMALL,
            fontweight="bold" if bold else "normal",
            color=colour,
            va="top",
        )


def _colour(is_right: bool) -> str:
    return RIGHT if is_right else WRONG


def _rule(drawing: Figure, at: float, width: float) -> None:
    line = mpl.lines.Line2D(
        (_MARGIN, width - _MARGIN), (at, at), color="0.8", linewidth=0.5, transform=drawing.dpi_scale_trans
    )
    drawing.add_artist(line)
