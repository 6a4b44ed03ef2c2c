"""Judge whether runs have the same digests on other kinds of CPU, as far as this machine can tell.

    python scripts/same_bits.py [--thin] [--models rnn lstm ...] [--cache DIR]

Each setting is a process of its own: the instructions that torch may use, the CPU for which kernels
are compiled, and MKL's code path. Under "default", numpy and the C library do without newer
instructions too. A process makes a run, a fleet and a resumed run of each model.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

SHORT = (
    "task=easy", "model.hidden_size=8", "batch_size=20", "steps=40", "eval_every=20",
    "eval_batches=3", "checkpoint_every=15", "check_initial_loss=warn", "device=cpu", "plot=false",
)  # fmt: skip
WARMUP = "schedule=warmup_cosine schedule.warmup_steps=9"
RESET = "optimizer.reset_every=12"
INPUT, RECURRENT, READOUT = (f"init.{part}" for part in ("input", "recurrent", "readout"))
RUNS = {  # of each model: a run, a fleet, a resumed run
    "rnn": (
        f"optimizer=adam clip=norm schedule=step schedule.every=7 {RECURRENT}=orthogonal",
        "optimizer=sgd optimizer.nesterov=true schedule=cosine clip=value "
        f"{READOUT}=normal init.readout_scale=0.2",
        f"model.nonlinearity=relu optimizer.momentum=0.5 clip=zclip {RECURRENT}=sparse",
    ),
    "lstm": (
        f"optimizer=rmsprop optimizer.centered=true {WARMUP} {RECURRENT}=sparse",
        "norm=layer optimizer=adam clip=zclip clip.warmup_steps=5 schedule=step schedule.every=3",
        f"optimizer=adamw schedule=plateau {RECURRENT}=orthogonal",
    ),
    "gated_rnn": (
        f"optimizer=sgd clip=norm schedule=plateau {RECURRENT}=orthogonal {INPUT}=normal",
        f"norm=batch {WARMUP} optimizer=adam clip=value {RECURRENT}=sparse",
        "optimizer=muon clip=agc schedule=linear optimizer.weight_decay=0.01",
    ),
    "attn_rnn": (
        "optimizer=rmsprop clip=zclip clip.warmup_steps=5",
        f"norm=qk optimizer=sgd clip=norm schedule=cosine {INPUT}=orthogonal",
        f"optimizer=spam clip=adagc clip.warmup_steps=9 optimizer.weight_decay=0.01 {RESET} "
        "optimizer.clip_after=5 schedule=wsd schedule.warmup_steps=9",
    ),
    "attn_rnn_inf": (
        "optimizer=lion schedule=cosine clip=value",
        f"optimizer=stable_spam {RESET} schedule=plateau clip=autoclip {RECURRENT}=orthogonal",
        "optimizer=stable_adamw schedule=step schedule.every=9 clip=norm",
    ),
}

OWN = "this machine's"
AVX512 = {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}
CPUS = {
    "haswell": {"avx2", "fma", "bmi2"},
    "skylake-avx512": AVX512,
    "znver4": AVX512 | {"avx512_bf16", "avx512_vbmi2", "avx512_bitalg", "gfni", "vaes", "sha_ni"},
    OWN: set[str](),
}
"""By name, features of /proc/cpuinfo without which the code can't run."""

Setting = tuple[str, str, str]
"""What torch may use, the kernels' CPU, MKL's path."""
ALL: list[Setting] = list(
    product(("default", "avx2", "avx512"), CPUS, ("COMPATIBLE", "AVX2", "unset"))
)
THIN: list[Setting] = [("avx2", OWN, "unset"), ("default", "haswell", "COMPATIBLE")]


def environment(setting: Setting, cache: Path) -> dict[str, str]:
    """Return the environment of a setting; another CPU's kernels are compiled into its folder."""
    aten, cpu, mkl = setting
    own = {"ATEN_CPU_CAPABILITY": aten}
    if cpu != OWN:  # the name alone would leave numba the features of this machine
        own |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "+avx2,+fma"}
        own |= {"NUMBA_CACHE_DIR": str(cache / cpu)}
    if mkl != "unset":
        own |= {"MKL_CBWR": mkl}
    if aten == "default":
        from numpy._core._multiarray_umath import __cpu_dispatch__

        own |= {"NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__)}
        own |= {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F"}
    return os.environ | own


def make_runs(models: list[str], folder: Path) -> dict[str, str]:
    """Make the runs of some models in this process; return a digest of what each computed."""
    from hw2exp.train import api

    found = {}
    for model in models:
        run, fleet, resumed = ([*SHORT, f"model={model}", *words.split()] for words in RUNS[model])
        found[f"{model} run"] = digest([api.run(*run, f"hydra.run.dir={folder / model}")])
        many = [*fleet, "seed=range(1,4)", "workers=1", f"hydra.sweep.dir={folder / model}-fleet"]
        found[f"{model} fleet"] = digest(list(api.sweep(*many).jobs.values()))
        whole = api.run(*resumed, f"hydra.run.dir={folder / model}-cut")
        (whole.folder / "result.json").unlink()
        shutil.rmtree(max((whole.folder / "checkpoints").glob("step_*")))
        again = api.run(*resumed, f"resume={whole.folder}")
        assert digest([again]) == digest([whole]), f"{model}: resumed, it took another course"
        found[f"{model} resumed"] = digest([again])
    return found


def digest(runs: list) -> str:
    """Return eight digits of a joint digest of runs."""
    results = [
        (r.parameters_sha256, r.metrics_sha256, r.initial, r.final, r.spikes)
        for r in (run.result for run in runs)
    ]
    return hashlib.sha256(repr(results).encode()).hexdigest()[:8]


def judge(settings: list[Setting], models: list[str], cache: Path) -> bool:
    """Print the digests of all settings; return whether they agree."""
    flags = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    lacking = {cpu: sorted(needed.difference(flags)) for cpu, needed in CPUS.items()}
    for cpu, missing in lacking.items():
        if missing:
            print(f"left out: {cpu}, because this machine lacks {', '.join(missing)}")
    print("| torch | kernels | MKL | " + " | ".join(models) + " |")
    print("| --- " * (3 + len(models)) + "|")
    seen: list[dict[str, str]] = []
    for setting in (s for s in settings if not lacking[s[1]]):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--worker", folder, "--models", *models]
            env = environment(setting, cache)
            made = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
        seen.append(json.loads(made.stdout.splitlines()[-1]))
        of_models = (" ".join(d for n, d in seen[-1].items() if n.split()[0] == m) for m in models)
        print("| " + " | ".join((*setting, *of_models)) + " |", flush=True)
    differing = [name for name in seen[0] if len({each[name] for each in seen}) > 1]
    print(f"differing: {', '.join(differing)}" if differing else f"all {len(seen)} settings agree")
    return not differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thin", action="store_true", help="two settings instead of 36")
    parser.add_argument("--models", nargs="+", choices=RUNS, default=list(RUNS), metavar="MODEL")
    parser.add_argument("--cache", type=Path, help="keep the compiled kernels in this folder")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(make_runs(given.models, given.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        same = judge(THIN if given.thin else ALL, given.models, given.cache or Path(folder))
    sys.exit(not same)


if __name__ == "__main__":
    main()
