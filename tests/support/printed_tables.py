"""What stands in tables as they are printed."""

import re


def rows_of(markdown):
    """The cells of a Markdown table by row, the heading first."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [rows[0], *rows[2:]]


def columns_of(line):
    """How many columns a LaTeX row fills."""
    cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
    spans = [re.search(r"\\multicolumn\{(\d+)\}", cell) for cell in cells]
    return sum(int(span[1]) if span else 1 for span in spans)


def cells_of(text, label):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.split("|")[1:-1]]
