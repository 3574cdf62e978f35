"""A second night: so many pictures, of which a few were replaced since. `python -m bench.nights ROWS CHANGED`.

`python -m bench.nights curves` measures nights of several sizes, and writes their table and charts (a few minutes).

The S3 is the bench's fake, in which inputs, records and outputs of the night before are made up as they are asked for;
that night's results are written as its workers would have written them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

if __package__:
    from bench.fakes import PAGE, S3, WRITTEN, Headers, reply, serve
else:  # the fake, in a process of its own
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from bench.fakes import PAGE, S3, WRITTEN, Headers, reply, serve

PROMPT = "studio photo of {id}"
BEFORE = "20260101T000000Z-before"
#: What is made up: keys by number, in the order of their numbers.
FORMS = {"in/": "in/{:08d}.jpg", "restyle/records/": "restyle/records/{:08d}/default.json",
         "restyle/outputs/": "restyle/outputs/{:08d}/default.jpg"}  # fmt: skip


def etag(form: str, number: int) -> str:
    """The ETag of what is made up."""
    return hashlib.md5(f"{form}{number}".encode(), usedforsecurity=False).hexdigest()


class NightS3(S3):
    """The fake with the objects of the night before."""

    def __init__(self, picture: bytes, rows: int, changed: int) -> None:
        super().__init__(picture)
        self.rows, self.every = rows, rows // changed if changed else rows + 1
        self.record, self.sha256 = b"", hashlib.sha256(picture).hexdigest()
        self.asked_for = ""

    def count(self, name: str) -> None:
        """Counts one request: by its method and the folder of its object, where it is for one."""
        super().count(name if name == "PUT report" else self.asked_for or name)  # by which a run is seen to have ended

    def serve(self, verb: str, target: str, headers: Headers, body: bytes) -> tuple[bytes, bytes]:
        path, _, query = target.partition("?")
        _, bucket, key = (*unquote(path).split("/", 2), "")[:3]
        self.asked_for = f"{'COPY' if 'x-amz-copy-source' in headers else verb} {folder_of(key)}" if key else ""
        if not key.strip("/"):
            asked = parse_qs(query)
            if form := FORMS.get(asked.get("prefix", [""])[0]):
                self.count("GET page")
                return self._page(bucket, asked, form)
            return super().serve(verb, target, headers, body)
        if key == "template":
            self.record = body
            return reply(b"", "text/plain", b'ETag: "t"\r\n')
        if self.asked_for.startswith("COPY "):
            self.count("COPY")
            tag = f"<CopyObjectResult><ETag>{self.etag}</ETag></CopyObjectResult>".encode()
            return reply(tag, "application/xml")
        if verb == "GET" and key.startswith("restyle/outputs/") and key in self.objects:
            self.count("GET")
            _, made, metadata, _ = self.objects[key]
            return reply(self.picture, "image/jpeg", f'ETag: "{made}"\r\n'.encode() + metadata)
        for folder, form in FORMS.items():
            if verb in {"GET", "HEAD"} and key.startswith(folder) and key not in self.objects:
                self.count(verb)
                number = int(key[len(folder) : len(folder) + 8])
                data = self.record.replace(b"%08d", b"%08d" % number) if "records" in folder else self.picture
                more = f'ETag: "{self._etag(form, number)}"\r\n'
                if "outputs" in folder:
                    more += f"x-amz-meta-sha256: {self.sha256}\r\n"
                head, content = reply(data, "image/jpeg", more.encode())
                return head, b"" if verb == "HEAD" else content
        return super().serve(verb, target, headers, body)

    def _etag(self, form: str, number: int) -> str:
        is_new = form.startswith("in/") and number % self.every == 0
        return etag("new" if is_new else form, number)

    def _page(self, bucket: str, asked: dict[str, list[str]], form: str) -> tuple[bytes, bytes]:
        folder = form[: form.index("{")]
        after = asked.get("continuation-token", asked.get("start-after", [""]))[0].removeprefix(folder)[:8]
        first = int(after) * (10 ** (8 - len(after))) if after.isdigit() else 0
        key = asked.get("continuation-token", asked.get("start-after", [""]))[0]
        while first < self.rows and form.format(first) <= key:
            first += 1
        last = min(first + PAGE, self.rows)
        size = len(self.picture)
        text = "".join(
            f"<Contents><Key>{form.format(number)}</Key>{WRITTEN}<ETag>&quot;{self._etag(form, number)}&quot;</ETag>"
            f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(first, last)
        )
        more = last < self.rows
        token = f"<NextContinuationToken>{form.format(last - 1)}</NextContinuationToken>" if more else ""
        xml = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{token}{text}</ListBucketResult>"
        )
        return reply(xml.encode(), "application/xml")


def folder_of(key: str) -> str:
    """Where an object lies in the workspace, whatever its run."""
    first, *parts = key.removeprefix("restyle/").split("/")
    return f"{first}/{parts[1]}" if first == "runs" and len(parts) > 1 else first


# -- the night before --------------------------------------------------------------------------------------


def remember(picture: bytes, env: dict[str, str]) -> None:
    """Writes run.json and results of the night before, and the form of its records."""
    os.environ.update(env)
    from config.connections import open_store
    from config.reading import load_settings
    from producers.planning.compare.changes import planned_jobs
    from producers.planning.make import make_plan
    from producers.planning.request import PlanRequest
    from producers.runs.snapshot import write_run
    from restyle.fingerprint import digest
    from restyle.models import Job, Outcome, RunStatus, utc_now

    settings = load_settings()
    store, workspace = open_store(settings), settings.effective_workspace
    plan = make_plan(
        PlanRequest("s3://bench/in/", prompt=PROMPT), settings, workspace=workspace, store=store, run_id=BEFORE
    )
    digests = (job.request for job in planned_jobs(plan, workspace))
    sha256, size = "0" * 64, len(picture)

    def lines() -> Iterator[str]:
        for number, (item, request) in enumerate(zip(plan.stream(), digests, strict=True)):
            entry = item.entry  # type: ignore[union-attr]
            tag = etag(FORMS["in/"], number)
            job = Job(id=entry.id, variant=item.variant, image=entry.image, params=item.params, output=item.output,
                      etag=tag)  # fmt: skip
            outcome = Outcome(
                outcome="succeeded", seed=item.params.seed, outputs=(item.output,), etag=tag, ended=utc_now(),
                fingerprint=digest([sha256, request]), credits=0.02, attempts=1,
                stored=(etag(FORMS["restyle/records/"], number),
                        f"{size} {etag(FORMS['restyle/outputs/'], number)}"),
            )  # fmt: skip
            if number == 0:
                put_form(job, request, tag)
            yield f'{{"job": {job.model_dump_json()}, "outcome": {outcome.model_dump_json(exclude_defaults=True)}}}'

    def put_form(job: Job, request: str, tag: str) -> None:
        now = utc_now().isoformat().replace("+00:00", "Z")
        made = hashlib.sha256(picture).hexdigest()
        output = {"uri": job.output, "sha256": made, "bytes": size, "width": 1024, "height": 1024,
                  "content_type": "image/jpeg"}  # fmt: skip
        record = {
            "job_id": "0" * 24, "run_id": BEFORE, "id": job.id, "variant": job.variant, "outputs": [output],
            "fingerprint": {"etag": tag, "sha256": sha256, "request": request}, "params": job.params.model_dump(),
            "input": {"uri": job.image, "etag": tag, "sha256": sha256, "bytes": size, "width": 1, "height": 1},
            "prepared": {"width": 1, "height": 1, "steps": []}, "samples_expected": 1, "samples_received": 1,
            "api": {"url": "x", "sandbox": False, "seconds": 1, "attempts": 1, "in_doubt": 0},
            "timestamps": dict.fromkeys(("started", "called", "answered", "stored"), now), "worker": "w",
            "version": "1",
        }  # fmt: skip
        text = json.dumps(record).replace(job.id, "%08d")
        store.put("s3://bench/template", text.encode(), content_type="application/json")

    shard, batch = 0, list[str]()
    for line in lines():
        batch.append(line)
        if len(batch) == settings.shard_jobs:
            put_results(store, workspace.results(BEFORE, shard), batch)
            shard, batch = shard + 1, []
    if batch:
        put_results(store, workspace.results(BEFORE, shard), batch)
        shard += 1
    run = plan.as_run(shards=shard, by="bench")
    ended = run.model_copy(update={"status": RunStatus.FINISHED, "finished": utc_now()})
    write_run(ended, store=store, workspace=workspace)


def put_results(store: Any, uri: str, lines: list[str]) -> None:
    """A closed shard."""
    store.put(uri, gzip.compress("\n".join(lines).encode(), 1, mtime=0), content_type="application/gzip")


# -- the night ---------------------------------------------------------------------------------------------


def night(rows: int, changed: int) -> dict[str, Any]:
    """Has a night planned and done, by `restyle submit` and a worker of two processes."""
    from apps.stack.servers import free_port
    from bench.arena import Arena, Fake, listens, start, wait_until
    from bench.arena import arena as open_arena
    from bench.commands import cost
    from bench.contenders import Restyle
    from bench.usage import usage

    with tempfile.TemporaryDirectory(prefix="restyle-nights-") as place, open_arena(Path(place) / "a", input_kb=30, output_kb=20) as given:  # fmt: skip  # noqa: E501
        folder, port = given.folder, free_port()
        words = [sys.executable, __file__, "serve", str(port), str(folder / "input.jpg"), str(rows), str(changed)]
        process = start(words, folder / "night.log")
        try:
            wait_until(lambda: listens(port), "the S3", 20)
            arena = Arena(folder, given.redis_url, given.api, Fake(port))
            fleet = Restyle("nights", arena, 32, 2)
            began = time.monotonic()
            remember((folder / "input.jpg").read_bytes(), fleet.env)
            print(f"the night before: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201 - a script's talk
            arena.s3.set(0.0)
            fleet.start()
            before, began, most = usage(fleet.pid), time.monotonic(), [0.0]
            command = fleet.command("submit", "s3://bench/in/", "--prompt", PROMPT, "--yes")
            planned = cost(command, env=fleet.env, cwd=folder)
            assert planned.code == 0, planned.err

            def settled() -> bool:
                most[0] = max(most[0], arena.redis.info("memory")["used_memory"] / 1e6)
                return fleet.settled()

            try:
                wait_until(settled, "the report", 60 + rows / 500, every=0.2)
            except TimeoutError:
                print(fleet.log.read_text()[-3000:], planned, arena.s3.stats()["counts"])  # noqa: T201
                raise
            wall, after = time.monotonic() - began, usage(fleet.pid)
            counts = arena.s3.stats()["counts"]
            return {
                "rows": rows, "changed": changed, "wall": wall, "calls": arena.api.stats()["counts"].get("calls", 0),
                "planned_wall": planned.wall, "planned_cpu": planned.cpu, "planned_mb": planned.rss_mb,
                "worker_cpu": after.cpu - before.cpu, "worker_mb": after.rss / 1e6, "redis_mb": most[0],
                "pages": counts.pop("GET page", 0), "requests": sum(counts.values()), "counts": counts,
            }  # fmt: skip
        finally:
            fleet.stop()
            process.kill()
            process.wait()


def main() -> None:
    """Measures, and tells."""
    if sys.argv[1] == "serve":
        port, picture, rows, changed = sys.argv[2:]
        asyncio.run(serve(NightS3(Path(picture).read_bytes(), int(rows), int(changed)), int(port)))
    elif sys.argv[1] == "curves":
        from bench.night_curves import write

        write()
    else:
        print(json.dumps(night(int(sys.argv[1]), int(sys.argv[2])), indent=1))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
