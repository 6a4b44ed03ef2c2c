"""The colors of an anatomy, shared by all its panels."""

LOSS, FRESH, RAW, CLIPPED, CULPRIT, QUIET = (
    "#0072B2", "#E69F00", "#0072B2", "#E69F00", "#CC3311", "#888888",
)  # fmt: skip
