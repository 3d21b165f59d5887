"""The MAP columns of tables and data frames, in the paper's order."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A key of ``record["map"]``, its heading under the group's, and its heading on its own."""

    key: str
    heading: str
    alone: str


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that stand under one heading."""

    heading: str
    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.columns)


BIMODAL = ColumnGroup(
    "Bi-modal",
    (
        Column("image_to_text", "image→text", "image→text"),
        Column("text_to_image", "text→image", "text→image"),
        Column("bimodal_average", "average", "bi-modal average"),
    ),
)
ALLMODAL = ColumnGroup(
    "All-modal",
    (
        Column("image_to_all", "image→all", "image→all"),
        Column("text_to_all", "text→all", "text→all"),
        Column("allmodal_average", "average", "all-modal average"),
    ),
)
GROUPS = (BIMODAL, ALLMODAL)
COLUMNS = tuple(column for group in GROUPS for column in group.columns)

PUBLISHED = ColumnGroup(
    "Published",
    (
        Column("bimodal_average", "bi-modal", "published bi-modal average"),
        Column("allmodal_average", "all-modal", "published all-modal average"),
    ),
)
"""The published values a table has room for; the CSV holds all six."""
PUBLISHED_BIMODAL = ColumnGroup(PUBLISHED.heading, PUBLISHED.columns[:1])
"""The same where a table has no all-modal columns."""
