"""Bad input: one line on stderr naming key, value and what is allowed; exit 2; nothing created."""

import pytest

from hw2exp.config.command_line import read
from hw2exp.config.refusals import JARGON
from hw2exp.config.validation import validate
from hw2exp.system.problems import ConfigError, show
from hw2exp.train import main

BAD = {
    "unknown key": (["seeed=3"], ["seeed=3", "did you mean seed?"]),
    "unknown key of a group": (["lr=3"], ["lr=3", "did you mean optimizer.lr?"]),
    "unknown key below a section": (["init.scales=3"], ["init.scales", "did you mean init.scale?"]),
    "key of another choice": (
        ["model=lstm", "model.lags=2"],
        ["model.lags=2", "it belongs to model=attn_rnn"],
    ),
    "key added with a plus": (["+foo=1"], ["foo=1", "no such key"]),
    "key of a choice not made": (["clip.max_norm=1"], ["clip.max_norm=1", "belongs to clip=norm"]),
    "the choice's own name": (["model.name=lstm"], ["model.name=lstm", "type model="]),
    "deleted key": (["~seed"], ["seed: is missing"]),
    "deleted group": (["~task"], ["task=null", "no such choice"]),
    "unknown choice": (["model=lstn"], ["model=lstn", "did you mean lstm?", "gated_rnn"]),
    "choice of nothing": (["model=null"], ["model=null", "allowed"]),
    "a choice of one's own": (["model=leaky"], ["allowed: attn_rnn", "needs --import MODULE"]),
    "two choices": (["model=[lstm,rnn]"], ["model=[lstm,rnn]", "no such choice"]),
    "unknown experiment": (["experiment=explode"], ["did you mean explosion?"]),
    "misspelled group": (["modle=lstm"], ["modle=lstm", "did you mean model?"]),
    "fragment as a choice": (["task=_stream"], ["task=_stream", "no such choice"]),
    "negative rate": (["optimizer.lr=-1"], ["optimizer.lr=-1", "> 0"]),
    "text for a number": (["optimizer.lr=fast"], ["optimizer.lr=fast", "number"]),
    "not a number": (["optimizer.lr=nan"], ["optimizer.lr=nan", "finite"]),
    "infinite": (["clip=norm", "clip.max_norm=inf"], ["clip.max_norm=inf", "finite"]),
    "fraction for an integer": (["steps=1.5"], ["steps=1.5", "integer"]),
    "bool for an integer": (["seed=true"], ["seed=true", "integer"]),
    "text for a bool": (["stop_when_solved=maybe"], ["stop_when_solved=maybe", "true or false"]),
    "nothing for a number": (["steps=null"], ["steps=null", "integer >= 1"]),
    "too large": (["seed=99999999999999999999"], ["seed=99999999999999999999", "<= 92233"]),
    "momentum of one": (["optimizer=sgd", "optimizer.momentum=1"], ["momentum=1", "< 1"]),
    "word out of a list": (["check_initial_loss=maybe"], ["error, warn, off"]),
    "range of three": (["task.length=[1,2,3]"], ["task.length=[1,2,3]", "two integers"]),
    "range of nothing": (["task.t1=[]"], ["task.t1=[]", "two integers"]),
    "range of fractions": (["task.t1=[2.5,6]"], ["task.t1=[2.5,6]", "two integers"]),
    "empty range": (["task.t1=[5,5]"], ["task.t1=[5,5]", "from < to"]),
    "mark before the start": (["task.t1=[0,5]"], ["task.t1=[0,5]", "after the B"]),
    "marks that cross": (["task.t1=[2,25]"], ["task.t2=[20,28]", "after t1"]),
    "mark after the end": (["task.length=[20,41]"], ["task.length=[20,41]", "before the E"]),
    "Nesterov without momentum": (
        ["optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=true"],
        ["optimizer.nesterov=true", "optimizer.momentum > 0"],
    ),
    "QK-norm without queries": (["model=lstm", "norm=qk"], ["norm=qk", "attn_rnn"]),
    "Omega without a Jacobian": (
        ["model=lstm", "regularizer=omega"],
        ["regularizer=omega", "needs model=rnn", "model=lstm"],
    ),
    "Omega with a norm": (
        ["model=rnn", "norm=batch", "regularizer=omega"],
        ["regularizer=omega", "needs norm=none", "norm=batch"],
    ),
    "QK-Clip without queries": (["model=gru", "clip=qk_clip"], ["clip=qk_clip", "attn_rnn"]),
    "QK-Clip with a norm": (
        ["model=attn_rnn", "clip=qk_clip", "norm=layer"],
        ["clip=qk_clip", "needs norm=none", "norm=layer"],
    ),
    "half a complex number": (
        ["model=lru", "model.hidden_size=7"],
        ["model.hidden_size=7", "must be even", "model=lru"],
    ),
    "a ring without room": (
        ["model=lru", "model.r_min=0.9", "model.r_max=0.8"],
        ["model.r_min=0.9", "< model.r_max=0.8"],
    ),
    "more exponents than units": (
        ["regularizer=flossing", "regularizer.exponents=17"],
        ["regularizer.exponents=17", "<= model.hidden_size=16"],
    ),
    "exponents of a whole batch": (
        ["regularizer=flossing", "norm=batch"],
        ["regularizer=flossing", "norm=batch"],
    ),
    "a forget gate that has another name": (
        ["model=gru", "init.forget_bias=1"],
        ["init.forget_bias=1", "needs model=lstm", "model=gru"],
    ),
    **{
        f"a scale without effect: {choice}": (
            [choice, "init.scale=2"],
            ["init.scale=2: has no effect", choice],
        )
        for choice in ("model=lru", "model=mingru", "norm=sigma_reparam")
    },
    "another scale without effect": (
        ["norm=sigma_reparam", "init.input_scale=3"],
        ["init.input_scale=3: has no effect", "norm=sigma_reparam"],
    ),
    "sequence too short for its marks": (
        ["task=torder", "task.symbols=9"],
        ["task.symbols=9", ">= 10"],
    ),
    "a forget gate where there is none": (
        ["model=rnn", "init.forget_bias=1"],
        ["init.forget_bias=1", "needs model=lstm", "model=rnn"],
    ),
    "batch norm of one": (["norm=batch", "batch_size=1"], ["batch_size=1", "at least 2"]),
    "warm-up longer than the run": (
        ["schedule=warmup_cosine", "steps=50"],
        ["schedule.warmup_steps=100", "below steps=50"],
    ),
    "warm-up into the decay": (
        ["schedule=wsd", "steps=110"],
        ["schedule.warmup_steps=100", "before the decay", "the last 0.2 of steps=110"],
    ),
    "SPAM that never clips": (
        ["optimizer=spam", "optimizer.reset_every=20"],
        ["optimizer.clip_after=20", "below optimizer.reset_every=20"],
    ),
    "AdamW that is Adam": (
        ["optimizer=adamw", "optimizer.decoupled=false"],
        ["optimizer.decoupled=false", "must be true for optimizer=adamw"],
    ),
    "notebook with another rhythm": (
        ["task.stream=notebook", "eval_every=100"],
        ["eval_every=100", "multiple of 31"],
    ),
    "unfinished list": (["task.length=[1"], ["task.length=[1", "not an override"]),
    "no value": (["seed"], ["seed", "not an override"]),
    "no key": (["=3"], ["=3", "no such key"]),
    "unknown flag": (["--fast"], ["--fast", "--help"]),
    "sweep without -m": (["seed=1,2"], ["seed=1,2", "several values need a sweep: -m"]),
    "bad job in a sweep": (["-m", "optimizer.lr=0.1,-1"], ["optimizer.lr=-1", "> 0"]),
    "sweep of nothing": (["-m", "seed=range(0,0)"], ["seed=range(0,0)", "at least one"]),
    "bad choice in a sweep": (["-m", "clip=none,normm"], ["clip=normm", "did you mean norm?"]),
    "sweep of Hydra's keys": (["-m", "hydra.verbose=true,false"], ["hydra.verbose can't be swept"]),
    "sweep by another key": (["hydra.mode=MULTIRUN"], ["hydra.mode=MULTIRUN", "-m"]),
    "a folder for several jobs": (
        ["-m", "model=rnn,lstm", "seed=1,2", "hydra.sweep.subdir=s${seed}"],
        ["hydra.sweep.subdir=s1", "jobs 0 and 2"],
    ),
    "a working directory for each job": (
        ["-m", "seed=1,2", "hydra.job.chdir=true"],
        ["hydra.job.chdir=true", "share a process"],
    ),
    "no records": (["hydra.output_subdir=null"], ["hydra.output_subdir=null", ".hydra"]),
    "records elsewhere": (
        ["-m", "seed=1,2", "++hydra.output_subdir=records"],
        ["hydra.output_subdir=records: can't be set"],
    ),
    "a job's folder in another's": (
        ["-m", "check_initial_loss=a/b,a", "hydra.sweep.subdir=${check_initial_loss}"],
        ["hydra.sweep.subdir=a:", "jobs 0 and 1"],
    ),
    "a folder for two jobs under two names": (
        ["-m", "check_initial_loss=a,b/../a", "hydra.sweep.subdir=${check_initial_loss}"],
        ["hydra.sweep.subdir=a:", "jobs 0 and 1"],
    ),
    "a sweep's value twice": (["-m", "seed=0,1", "seed=2,3"], ["seed=0,1: seed=2,3 sets the same"]),
    "a sweep and a value": (["-m", "model=rnn,lstm", "model=rnn"], ["model=rnn,lstm: model=rnn"]),
    "a value and a sweep": (["-m", "+seed=1", "seed=1,2"], ["+seed=1: seed=1,2 sets the same"]),
    "sections twice": (
        ["-m", "spikes={window:11},{window:21}", "spikes={margin:0.1},{margin:0.2}"],
        ["spikes={window:11},{window:21}: spikes={margin:0.1},{margin:0.2} sets the same"],
    ),
    "a section and its key": (
        ["-m", "spikes={window:11},{window:21}", "spikes.window=31"],
        ["spikes={window:11},{window:21}: spikes.window=31 sets the same"],
    ),
    "a key and its section": (
        ["-m", "init.scale=1,2", "init={scale:3}"],
        ["init.scale=1,2: init={scale:3} sets the same"],
    ),
    "a run's folder for a sweep": (
        ["-m", "seed=1,2", "hydra.run.dir=x"],
        ["hydra.run.dir=x: not in a sweep, which goes to hydra.sweep.dir"],
    ),
    "a sweep's folder for a run": (["hydra.sweep.dir=x"], ["hydra.sweep.dir=x: only in a sweep"]),
    "a sweep's launcher for a run": (["hydra/launcher=basic"], ["hydra/launcher=basic: only in"]),
    "trials of a run": (["hydra.sweeper.n_jobs=3"], ["hydra.sweeper.n_jobs=3: only in a sweep"]),
    "a sorted range without end": (
        ["-m", "seed=sort(range(0,1000000000))"],
        ["seed=sort(range(0,1000000000))", "at most 100000"],
    ),
    "resumed run": (["resume=here"], ["resume=here", "folder that exists"]),
    "executor of one run": (["executor=dask"], ["executor=dask", "add -m"]),
    "sweep of executors": (["-m", "executor=local,dask"], ["executor can't be swept"]),
    "an unknown key of many values": (
        ["-m", "optimiser.lr=1,2,3,4,5"],
        ["optimiser.lr=1: no such key; did you mean optimizer.lr? (and 4 more values)"],
    ),
    "spaced values without a logarithm": (
        ["-m", "optimizer.lr=logspace(0,1,8)"],
        ["optimizer.lr=logspace(0,1,8): its ends must be positive"],
    ),
    "sweep of what is kept": (
        ["-m", "packed_parameters=true,false"],
        ["packed_parameters can't be swept"],
    ),
    "local workers of another executor": (
        ["-m", "seed=1,2", "executor=dask", "workers=2"],
        ["workers=2", "executor=local"],
    ),
    "workers of a scheduler that is there": (
        ["-m", "seed=1,2", "executor=dask", "executor.scheduler=tcp://a:1", "executor.workers=2"],
        ["executor.workers=2", "must be left out"],
    ),
    "executor of another launcher": (
        ["-m", "seed=1,2", "executor=dask", "hydra/launcher=basic"],
        ["executor=dask", "hydra/launcher=basic", "must be fleet"],
    ),
    "module that is not there": (["--import", "no_such"], ["--import=no_such", "No module named"]),
    "resumed nothing": (["-m", "seed=1,2", "resume=here"], ["resume=here", "folder that exists"]),
    "glob of nothing": (["-m", "model=glob(x*)"], ["model=glob(x*)", "at least one"]),
    "a key below nothing": (["+hydra.sweeper.params={seed:1}"], ["sweeper.params"]),
    "an interval to enumerate": (
        ["-m", "optimizer.lr=interval(0.1,1)"],
        ["optimizer.lr=interval(0.1,1)", "hydra/sweeper=optuna"],
    ),
    "Hydra's unknown key": (["hydra.foo=1"], ["hydra.foo"]),
    "unresolvable": (["seed=${nowhere}"], ["nowhere"]),
    "another config": (["--config-name=foo"], ["--config-name=foo"]),
    "no such config folder": (["--config-dir=nowhere"], ["--config-dir=nowhere", "exists"]),
    "current folder": (["hydra.run.dir="], ["hydra.run.dir=", "results alone"]),
    "impossible folder": (["hydra.run.dir=/dev/null/x"], ["/dev/null is a file"]),
    "wrong choice and wrong key": (
        ["model=lstmm", "sede=1", "steps=0"],
        ["model=lstmm", "sede=1", "steps=0", "did you mean seed?"],
    ),
    "an endless range": (["-m", "seed=range(0,1000000000)"], ["range(0,1000000000)", "100000"]),
    "a range without steps": (["-m", "seed=range(0,1,0)"], ["seed=range(0,1,0)", "at most"]),
    "a range to infinity": (["-m", "optimizer.lr=range(0,inf)"], ["optimizer.lr=range(0,inf)"]),
    "a range from nothing": (["-m", "optimizer.lr=range(nan,1)"], ["optimizer.lr=range(nan,1)"]),
    "too many jobs together": (
        ["-m", "seed=range(0,2000)", "optimizer.lr=range(0.1,1,0.001)"],
        ["seed=range(0,2000) optimizer.lr=range(0.1,1,0.001)", "1.8e+06 jobs", "at most 1048576"],
    ),
    "an endless number": (["seed=" + "9" * 100_000], ["seed=999", "…", "not an override"]),
    "an endless word": (["seed=" + "a" * 100_000], ["seed=aaa", "…aaa", "an integer"]),
    "an endless key": (["a" * 100_000 + "=1"], ["aaa…aaa", "no such key"]),
    "nested without end": (["seed=" + "[" * 3000 + "]" * 3000], ["seed=[[[", "not an override"]),
    "a value that names itself": (["seed=${seed}"], ["seed: Recursive interpolation"]),
    "values that name each other": (["seed=${steps}", "steps=${seed}"], ["seed: Recursive"]),
    "nothing in the environment": (["seed=${oc.env:NO_SUCH}"], ["seed:", "'NO_SUCH' not found"]),
    "a resolver there is not": (["seed=${sum:1,2}"], ["seed:", "type sum", "allowed: hydra, now"]),
    "several lines": (["seed='1\n2'"], ["seed=1 2: must be an integer"]),
    "terminal codes": (["seed='\x1b[2Jx'"], ["seed=\\x1b[2Jx: must be an integer"]),
    "text from right to left": (["seed='\u202e1'"], ["seed=\\u202e1: must be an integer"]),
    "half a character": (["seed=\ud800"], ["seed=\\ud800: not an override"]),
    "a letter that is none": (["séed=1"], ["séed=1", "not an override"]),
    "digits of another script": (["seed='٣'"], ["seed=٣: must be an integer"]),
    "a number in words of C": (["steps=0x10"], ["steps=0x10: must be an integer"]),
    "a float that is whole": (["steps=1e3"], ["steps=1000.0: must be an integer"]),
    "a list for a number": (["seed=[1]"], ["seed=[1]: must be an integer"]),
    "a mapping for a number": (["seed={x:1}"], ["seed={x:1}: must be an integer"]),
    "a key below a number": (["seed.x=1"], ["seed={x:1}: must be an integer"]),
    "a number for a section": (["init=1"], ["init=1: must be a mapping"]),
    "a mapping for a choice": (
        ["clip={}"],
        ["clip={}: no such choice; allowed: adagc, agc, autoclip, none, norm"],
    ),
    "nothing for a range": (["task.t1=null"], ["task.t1=null", "two integers"]),
    "a mapping for a range": (["task.t2={a:1}"], ["task.t2={a:1}: must be two integers"]),
    "a mapping for a list": (
        ["-m", "executor=slurm", "executor.directives={}"],
        ["executor.directives={}: must be a list of texts"],
    ),
    "a key added below a range": (["+task.t2.a=1"], ["task.t2={a:1}: must be two integers"]),
    "an item beyond a range": (["task.length.5=1"], ["task.length={5:1}: must be two integers"]),
    "an item left out": (["~task.length.0"], ["~task.length.0: ", "must be the whole list"]),
    "a mapping for a folder": (["hydra.run.dir={}"], ["hydra.run.dir={}: Cannot convert 'dict'"]),
    "a negative range": (["task.t1=[-5,-2]"], ["task.t1=[-5,-2]", "start at 1 or later"]),
    "an endless sequence": (["task.length=[30,1000000]"], ["task.length", "10001 or earlier"]),
    "more than memory": (["batch_size=1000000000"], ["batch_size=1000000000", "<= 16384"]),
    "a model beyond memory": (["model.hidden_size=99999"], ["hidden_size=99999", "<= 4096"]),
    "a choice at another place": (["model@foo=lstm"], ["model@foo=lstm", "leave out @foo"]),
    "a sign alone": (["~"], ["~: no such key"]),
    "nothing at all": ([""], ["not an override"]),
    "a function of the shell": (["seed=$(id)"], ["seed=$(id): not an override"]),
    "a device there is not": (["device=cpu:99"], ["device=cpu:99: must be one of auto, cpu, cuda"]),
    "a line end in a folder": (["hydra.run.dir='a\nb'"], ["hydra.run.dir=a b", "control"]),
    "nothing in a folder's name": (["hydra.run.dir='a\0b'"], ["a\\x00b", "control characters"]),
    "a folder's endless name": (["hydra.run.dir=" + "a" * 300], ["hydra.run.dir=aaa", "255 bytes"]),
    "a folder's endless path": (
        ["hydra.run.dir=" + "a/" * 3000],
        ["hydra.run.dir=a/a", "too long"],
    ),
    "a job's endless name": (
        ["-m", "seed=1,2", "hydra.sweep.subdir='${seed}" + "a" * 300 + "'"],
        ["hydra.sweep.subdir=1aaa", "255 bytes"],
    ),
    "resumed endless name": (["resume=" + "a" * 5000], ["resume=aaa", "255 bytes"]),
    "resumed line end": (["resume='a\nb'"], ["resume=a b", "control characters"]),
    "a flag without its value": (["--cfg"], ["--cfg", "expected one argument"]),
    "two commands in one": (["--cfg=job", "--info=all"], ["--cfg=job --info=all: must be one"]),
    "resolved without a config": (["--resolve"], ["--resolve: needs --cfg"]),
    "a package without a config": (["-p", "clip"], ["--package=clip: needs --cfg"]),
    "completion of no shell": (["-sc", "install=tcsh"], ["'tcsh'", "bash"]),
    "nobody's home": (["hydra.run.dir=~nobody9/x"], ["~nobody9/x: no such home; ./~nobody9/x"]),
    "nobody's home in quotes": (["resume='~nobody9/x'"], ["resume=~nobody9/x: no such home"]),
    "nobody's configs": (["--config-dir=~nobody9"], ["--config-dir=~nobody9: no such home"]),
    "a comma at the end": (["optimizer.lr=0.1,"], ["a comma has nothing beside it"]),
    "a comma alone": (["optimizer.lr=,"], ["a comma has nothing beside it"]),
    "two commas": (["task.length=[4,,5]"], ["a comma has nothing beside it"]),
    "an open parenthesis": (["hydra.run.dir=a(b"], ["a ( is not closed"]),
    "a parenthesis too many": (
        ["hydra.run.dir=b)"],
        ["a ) closes nothing", "type \"hydra.run.dir='b)'\""],
    ),
    "a number in parentheses": (
        ["hydra.run.dir=try (2)"],
        ["no function is called try", "type \"hydra.run.dir='try (2)'\""],
    ),
    "brackets that cross": (["task.length=[(4]"], ["a ] closes nothing"]),
    "an open brace": (["steps=${seed"], ["a { is not closed"]),
    "an open quote": (["hydra.run.dir='a"], ["a quote ' is not closed"]),
    "an apostrophe": (["hydra.run.dir=it's"], ["a quote ' is not closed"]),
    "another equals sign": (["hydra.run.dir=a=b"], ["a text with = needs quotes"]),
    "a letter with an accent": (["hydra.run.dir=é"], ["type \"hydra.run.dir='é'\""]),
    "spaces around the equals sign": (["seed = 1"], ["no space before the ="]),
    "a space in a key": (["my seed=1"], ["a key has letters a to z, digits, _ and dots only"]),
    "a function without values": (["-m", "seed=choice()"], ["choice(): empty choice"]),
    "two problems": (["optimizer.lr=-1", "seeed=3"], ["optimizer.lr=-1", "seeed=3"]),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in expected:
        assert part in captured.err
    assert JARGON.search(captured.err) is None
    assert list(tmp_path.iterdir()) == []


FILES = {
    "a key twice": ("steps: 5\nsteps: 6", ["x.yaml, line 3: steps stands there twice"]),
    "a key twice below": ("init: {scale: 1, scale: 2}", ["line 2: scale stands there twice"]),
    "a number for a key": ("1: 5", ["x.yaml, line 2: a key must be a text"]),
    "a float for a key": ("1e3: 5", ["x.yaml, line 2: a key must be a text"]),
    "a truth for a key": ("true: 5", ["x.yaml, line 2: a key must be a text"]),
    "nothing for a key": ("null: 5", ["x.yaml, line 2: a key must be a text"]),
    "a list for a key": ("? [a, b]\n: 3", ["x.yaml, line 2: a key must be a text"]),
    "a value that is cut off": ('seed: "${"', ["seed: must be ${KEY}"]),
    "a tab": ("init:\n\tscale: 1", ["x.yaml can't be read, line 3: found character"]),
    "an alias of nothing": ("seed: *x", ["x.yaml can't be read, line 2: found undefined alias"]),
    "an object": ("seed: !!python/none x", ["x.yaml can't be read, line 2: could not determine"]),
    "dots": ("model.hidden_size: 8", ["model.hidden_size=8", "nested, not dotted"]),
    "a choice there is not": ("defaults:\n  - override /model: lstmm", ["'model/lstmm'", "lstm"]),
    "a mapping for a range": ("task: {t1: {}}", ["x.yaml: task.t1={}: must be two integers"]),
    "a list for a section": ("spikes: [1]", ["x.yaml: spikes=[1]: must be a mapping"]),
    "two mistakes": ("sede: 1\nsteps: 0", ["sede=1", "did you mean seed?", "steps=0"]),
}


def refused_file(content, tmp_path, monkeypatch, capsys):
    (tmp_path / "theirs/experiment").mkdir(parents=True)
    (tmp_path / "theirs/experiment/x.yaml").write_bytes(content)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["--config-dir=../theirs", "experiment=x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []
    return captured.err


@pytest.mark.parametrize(("text", "expected"), FILES.values(), ids=FILES.keys())
def test_bad_file(text, expected, tmp_path, monkeypatch, capsys):
    content = f"# @package _global_\n{text}\n".encode()
    error = refused_file(content, tmp_path, monkeypatch, capsys)
    for part in expected:
        assert part in error


def test_a_file_without_its_first_line_and_one_of_another_encoding(tmp_path, monkeypatch, capsys):
    error = refused_file(b"steps: 5\n", tmp_path, monkeypatch, capsys)
    assert "experiment.steps=5: no such key" in error
    assert "begins with # @package _global_" in error
    error = refused_file(b"# \xe9\nsteps: 5\n", tmp_path / "other", monkeypatch, capsys)
    assert "byte 3 is not UTF-8" in error


def test_a_file_with_a_byte_order_mark(tmp_path, monkeypatch, capsys):
    content = "# @package _global_\nsteps: 5\n".encode("utf-8-sig")
    assert "begins with a byte-order mark" in refused_file(content, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", [["none"], {"a": 1}, 3, None])
def test_a_choice_that_is_no_text_is_unknown(name):
    values = read(["model=rnn"]).jobs[0].config.model_dump()
    with pytest.raises(ConfigError) as refused:
        validate(values | {"clip": {"name": name}})
    (problem,) = refused.value.problems
    assert problem.startswith(f"clip={show(name)}: no such choice; ")
