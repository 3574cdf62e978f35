"""Writes docs/benchmarks.md and its charts from the figures alone: no number on the page is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench import charts, model
from bench.arena import HERE
from bench.promises import Results, bars

DOCS = HERE.parent / "docs"
PAGE, SCALING = "benchmarks.md", "scaling.md"
#: The load before the benchmark from which on its figures cannot be trusted.
BUSY = 0.5
#: The figures of benchmarks that are run apart from this, each between marks of its name.
KEPT = ("forms", "plans", "nights", "curves")


def write(figures: dict[str, Any], docs: Path = DOCS) -> None:
    """Writes the page and its charts."""
    results = Results(figures)
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    for setting in ("C64", "C256"):
        cpu = {name: results.one(setting, name, "cpu_ms") for name in results.contenders(setting)}
        calls = "64 calls of 1 s" if setting == "C64" else "256 calls of 2 s"
        chart = charts.bars(f"CPU an image, {calls} in flight", cpu, unit="ms")
        (images / f"bench-cpu-{setting.lower()}.svg").write_text(chart, encoding="utf-8")
    curve = figures["curve"]
    jobs = [point["jobs"] for point in curve]
    for name, title, series in (
        ("memory", "One process: memory", {"worker, MB": "rss_mb", "Redis, MB": "redis_mb"}),
        ("handles", "One process: threads and sockets", {"threads": "threads", "sockets": "sockets"}),
        ("keys", "Keys in Redis", {"keys": "keys"}),
    ):
        values = {label: [point[figure] for point in curve] for label, figure in series.items()}
        chart = charts.lines(title, jobs, values, x_unit="jobs done")
        (images / f"bench-{name}.svg").write_text(chart, encoding="utf-8")
    (docs / PAGE).write_text("\n".join(_page(results)) + "\n", encoding="utf-8")
    head, _, rest = (DOCS / SCALING).read_text(encoding="utf-8").partition("<!-- model -->")
    tail = rest.partition("<!-- /model -->")[2]
    rows = "\n".join(model.table(results.one("C64", "restyle", "cpu_ms")))
    (docs / SCALING).write_text(f"{head}<!-- model -->\n{rows}\n<!-- /model -->{tail}", encoding="utf-8")


def quick(figures: dict[str, Any]) -> str:
    """The tables of a quick benchmark."""
    results = Results(figures)
    return "\n".join(line for setting in results.settings() for line in _table(results, setting))


def _page(results: Results) -> Iterable[str]:
    machine, figures = results.all["machine"], results.all
    yield "# Benchmarks"
    yield ""
    yield "`make bench` writes this page from what it measured; no figure is typed by hand. It compares restyle, with every guard on,"
    yield "with what people would use instead: the same jobs, on the same machine, in the same hour."
    yield ""
    yield f"**Machine.** {machine['processor']}, {machine['cores']} cores, {machine.get('memory', '?')} of memory, {machine['system']},"
    yield f"Python {machine['python']}, Celery {machine['celery']}, redis-py {machine['redis']}, botocore {machine['botocore']}, Pillow {machine['pillow']}."
    yield f"Workers, Valkey and both fakes share its cores. The load before was {figures['load_before']:.2f}; it took {figures['minutes']:.0f} minutes."
    if figures["load_before"] > BUSY:
        yield ""
        yield "**The machine was busy with other work**: efficiency, seconds and CPU are worse than on a quiet machine."
    if parts := figures.get("again"):
        yield ""
        loads = ", ".join(f"{part} ({load:.1f})" for part, load in parts.items())
        yield f"Some parts were measured again alone, since the machine had become busy; the load before each: {loads}."
    yield ""
    yield "**A job.** GET an input of 300 kB from S3, POST it as base64 in JSON, receive 200 kB after the API's time, PUT the picture"
    yield "and a record. The peers do only that. restyle also looks for an earlier record, checks input and answer for damage, claims"
    yield "the call in Redis, and reports the outcome. S3 and the API are simple fakes (`bench/fakes.py`) over plain HTTP, in processes"
    yield "of their own whose CPU is not counted. The peers are in `bench/peers/`, each set up as its documentation advises."
    yield ""
    yield "## What was promised"
    yield ""
    yield "| promise | seen | |"
    yield "|---|---|---|"
    yield from (bar.row for bar in bars(results))
    yield ""
    yield "![CPU an image at 64 calls in flight](images/bench-cpu-c64.svg)"
    yield ""
    yield "![CPU an image at 256 calls in flight](images/bench-cpu-c256.svg)"
    yield ""
    yield "## Every figure"
    yield ""
    yield "Each figure is the median, with the least and the most of all runs in brackets. N is the number of jobs, L the API's time"
    yield "for a call, C the calls in flight. CPU is user and system time of all worker processes. Efficiency is N x L / (C x wall"
    yield "clock), with start and end of the run; steady efficiency is the same in the middle of the run. Memory is the peak of all"
    yield "worker processes together."
    yield ""
    for setting in results.settings():
        yield from _table(results, setting)
    yield from _sizes(results)


def _table(results: Results, setting: str) -> Iterable[str]:
    used = next(run["setting_of"] for run in results.all["duels"] if run["setting"] == setting)
    added = f", {used['s3_latency'] * 1000:.0f} ms added to each S3 request" if used["s3_latency"] else ""
    yield f"### C={used['concurrency']}, L={used['latency']:g} s{added}"
    yield ""
    yield "| | CPU ms an image | steady | efficiency | images/s | MB | processes | calls a job | runs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in results.contenders(setting):
        cells = [
            _spread(results.values(setting, name, figure), digits)
            for figure, digits in (("cpu_ms", 2), ("steady", 3), ("efficiency", 3), ("images_a_second", 1),
                                   ("rss_mb", 0), ("processes", 0), ("calls_a_job", 3))
        ]  # fmt: skip
        yield f"| {name} | {' | '.join(cells)} | {len(results.values(setting, name, 'cpu_ms'))} |"
    yield ""


#: A description of each step of a job.
STEPS = {
    "fetch": "the input from S3",
    "prepare": "all of its pixels decoded at an eighth of their size for damage and the gates, metadata removed",
    "call": "base64, the request and its answer (urllib3)",
    "verify": "all of the answer's pixels decoded at an eighth of their size, for damage and the gates",
    "store": "mark, output and record to S3",
    "job": "record looked up, SHA-256 of the input, claim and report in Redis, the log",
}


def _steps(results: Results) -> Iterable[str]:
    used, whole = results.all["steps"], results.one("C64", "restyle", "cpu_ms")
    yield "| step | ms of CPU | what |"
    yield "|---|---|---|"
    for step, what in STEPS.items():
        yield f"| {step} | {used.get(step, 0):.2f} | {what} |"
    known = sum(used.values())
    yield f"| beyond | {whole - known:.2f} | Celery, the dispatcher, and {results.one('C64', 'restyle', 'processes') - 1:.0f} processes of threads that share an interpreter and the caches |"
    yield f"| **in all** | **{whole:.2f}** | at C=64; the steps are measured in one thread that is always busy |"
    yield ""
    yield "What botocore would take for the four requests to S3, and what stands in its place: [the clients of S3](decisions/0022-clients-of-s3.md)."
    yield "A thread that waits a second between two steps takes more than this, since other processes have used the caches meanwhile."
    yield "For the same reason the bare script takes more than the sum of its parts."
    yield ""


def _checks(results: Results) -> Iterable[str]:
    """What reading both pictures costs: nothing less than decoding all of a JPEG tells whether all of it is there."""
    setting = "C64"
    if not results.values(setting, "bare asyncio, pictures checked", "cpu_ms"):
        return
    ours = results.one(setting, "restyle", "cpu_ms")
    bare, dramatiq = (results.one(setting, name, "cpu_ms") for name in ("bare asyncio", "dramatiq"))
    checked = [results.one(setting, f"{name}, pictures checked", "cpu_ms") for name in ("bare asyncio", "dramatiq")]
    yield "**What checking pictures costs.** A truncated JPEG is shown with grey where pixels are missing, and only decoding all of it"
    yield "reveals that. Without the check such inputs are paid for, and such answers kept. Peers decode nothing. With the same two"
    yield f"checks, by the same library at the same scale, the bare script takes {checked[0]:.2f} ms an image instead of {bare:.2f}, and dramatiq"
    yield f"{checked[1]:.2f} instead of {dramatiq:.2f}: the checks are {checked[0] - bare:.1f} to {checked[1] - dramatiq:.1f} ms of restyle's {ours:.2f}. At equal work restyle takes {ours / checked[0]:.2f} of the bare"
    yield f"script's CPU and {ours / checked[1]:.2f} of dramatiq's. With 64 calls of 8 s in flight, two cores have 250 ms for each picture."
    yield ""


def _spread(values: list[float], digits: int) -> str:
    least, most = min(values), max(values)
    shown = f"{median(values):.{digits}f}"
    return shown if f"{least:.{digits}f}" == f"{most:.{digits}f}" else f"{shown} ({least:.{digits}f}-{most:.{digits}f})"


def _kept() -> Iterable[str]:
    """The figures of benchmarks that are run apart from this, between marks: as the page has them."""
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    for name in KEPT:
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin in page:
            yield begin + page.partition(begin)[2].partition(end)[0] + end
            yield ""


def _sizes(results: Results) -> Iterable[str]:
    figures = results.all
    soak, feed = figures["soak"], figures["feed"]
    yield "## By the number of jobs"
    yield ""
    yield "| `restyle plan` of a CSV | CPU | memory |"
    yield "|---|---|---|"
    for rows, cost in figures["plan"].items():
        if rows.isdigit():
            yield f"| {int(rows):,} rows | {cost['cpu']:.1f} s | {cost['rss_mb']:.0f} MB |"
    yield ""
    yield from _kept()
    yield f"Feeding: {_spread([run['rate'] for run in feed], 0)} jobs a second of CPU, {feed[0]['bytes_a_job']:,.0f} bytes of Redis a job on the queue."
    yield ""
    yield f"One process, {soak['jobs']:,} jobs of small pictures, no latency: {soak['jobs'] / soak['wall']:,.0f} jobs a second while a plan of"
    yield f"5,000,000 rows ran beside it; {soak['calls']:,} calls. Only a window of jobs is queued at a time, and outcomes leave"
    yield "Redis when their shard is closed: a run of a million jobs needs no more memory in Redis than one of a hundred thousand."
    yield "Each job leaves one key of 100 bytes behind for ten minutes."
    yield ""
    for name, title in (("memory", "Memory"), ("handles", "Threads and sockets"), ("keys", "Keys in Redis")):
        yield f"![{title} over a soak](images/bench-{name}.svg)"
        yield ""
    yield "## The model, checked"
    yield ""
    yield "What the simulation behind [scaling](scaling.md) predicts from the CPU measured here and this machine's cores:"
    yield ""
    yield "| | steady efficiency measured | by the model |"
    yield "|---|---|---|"
    cores = int(figures["machine"]["cores"])
    for name in results.settings():
        used = next(run["setting_of"] for run in figures["duels"] if run["setting"] == name)
        if used["latency"]:
            worker = model.Worker(
                used["concurrency"], used["processes"], cores, used["latency"],
                results.one(name, "restyle", "cpu_ms") / 1000, used["s3_latency"],
            )  # fmt: skip
            yield f"| {name} | {results.one(name, 'restyle', 'steady'):.3f} | {model.efficiency(worker):.3f} |"
    yield ""
    yield "## Where the CPU goes, and how to read this"
    yield ""
    yield from _steps(results)
    yield from _checks(results)
    yield "Each worker process of restyle has one thread for each call, so the CPU for an image limits the calls that a process can"
    yield "keep in flight: about 0.85 x L / CPU. How CPU was saved: [the short ways of a job](decisions/0020-short-ways-of-a-job.md). Not measured are TLS, which"
    yield "costs every contender the same, and latencies of S3 above the 50 ms of this page."
