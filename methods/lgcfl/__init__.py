"""LGCFL: local group based consistent feature learning."""
