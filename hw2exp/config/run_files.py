"""Name the files and folders that runs and sweeps write.

A run folder, or the folder of a sweep's job, holds the files of the first part. A sweep's folder
holds the folders of its jobs and the files of the second part.
"""

from typing import Final

# ---------------------------------------------------------------- of a run

RECORDS = ".hydra"
"""The folder of Hydra's records."""
CONFIG, OVERRIDES = f"{RECORDS}/config.yaml", f"{RECORDS}/overrides.yaml"

RESULT = "result.json"
METRICS = "metrics.parquet"
PARAMETERS = "parameters.safetensors"
DIAGNOSTICS = "diagnostics.parquet"
SPIKES = "spikes.safetensors"
CURVES = "curve.png", "curve.svg"
EVENTS_BEGIN = "events.out.tfevents."
EVENTS = f"{EVENTS_BEGIN}*"
"""The pattern of TensorBoard's files."""

CHECKPOINTS, CHECKPOINT_BEGINS = "checkpoints", "step_"
"""The folder of the checkpoints, and the beginning of a checkpoint's name in it."""
METRICS_ROWS, DIAGNOSTICS_ROWS = "metrics.rows", "diagnostics.rows"
"""The rows so far, in the folder of the checkpoints."""
MANIFEST: Final = "manifest.json"
STATE: Final = "state.safetensors"

ANATOMY = "anatomy"
"""The folder of the pages of spikes."""
WHATIF = "whatif"
"""The folder of the effects of interventions on spikes."""

# ---------------------------------------------------------------- of a sweep

SWEEP = "multirun.yaml"
"""Hydra's record of a sweep."""
PACKED = "packed"
"""The folder of the runs of a sweep with packed records."""
ARMS = "arms"
"""The folder that holds a TensorBoard folder for each arm."""

DRAWN = "curve.*", "diagnostics.[ps]*g"
"""Patterns of pictures, including those of older versions."""

OWN_NAMES = (
    *(RESULT, METRICS, PARAMETERS, SPIKES, "diagnostics.*", "curve.*", EVENTS),
    *(SWEEP, CHECKPOINTS, PACKED, ARMS, ANATOMY, WHATIF),
)
"""Patterns of names that runs and sweeps write and remove; no job's folder may have one."""
