"""Tables and figures: pure functions of stored records. Nothing here imports torch."""
