"""Colours and hatches of bars that stay apart for colour-blind readers and in grey print."""

FILLS: tuple[tuple[str, str], ...] = (
    # Colours after Okabe & Ito. Plain fills differ in lightness by 15 or more (CIE L*).
    ("#0B3C6F", ""),
    ("#F0E442", ""),
    ("#D55E00", ""),
    # Hatches are black, so they go on light and middle colours.
    ("#A6DBF5", "//////"),
    ("#FFFFFF", "......"),
    ("#E69F00", ""),
    ("#009E73", "xxxxxx"),
    ("#EBC4DA", "------"),
    ("#000000", ""),
    ("#FFFFFF", "\\\\\\\\\\\\"),
    ("#EBC4DA", "......"),
    ("#F0E442", "xxxxxx"),
    ("#E69F00", "//////"),
    ("#A6DBF5", "xxxxxx"),
    ("#FFFFFF", "------"),
    ("#009E73", "......"),
)
"""Fill colour and hatch by the place of a bar in its group."""
