"""The colors of an anatomy: what is the same has the same in all panels."""

LOSS, FRESH, RAW, CLIPPED, CULPRIT, QUIET = (
    "#0072B2", "#E69F00", "#0072B2", "#E69F00", "#CC3311", "#888888",
)  # fmt: skip
