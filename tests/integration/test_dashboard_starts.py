"""Runs that begin on the dashboard: judged as the command line judges, started once, and nothing spent before a yes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.dashboard.access import security
from producers.dispatch.plans import read_plan
from producers.planning.make import make_plan
from producers.planning.request import PlanRequest
from producers.runs.snapshot import write_run
from restyle.coordination.redis.client import State
from restyle.coordination.runs.events import ask_events, read_events
from restyle.coordination.runs.firings import Firings
from restyle.coordination.runs.progress import Progress
from restyle.errors import ManifestError
from restyle.models import Job, Run, RunStatus, utc_now
from restyle.s3.store import Store
from tests.integration.test_diff import done
from tests.support.catalog import picture
from tests.support.dashboard import running_dashboard
from tests.support.servers import S3
from tests.support.shown import Answer, Place, environment
from tests.support.wait import wait_until


@pytest.fixture
def place(redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A workspace of its own, and its dashboard; a call costs ten credits."""
    workspace = s3.workspace
    for name, value in {**environment(redis_url, s3, workspace), "RESTYLE_PRICE": "10"}.items():
        monkeypatch.setenv(name, value)
    state = State(redis_url, namespace=workspace.namespace, account="")
    toml = '[[schedule]]\nname = "nightly"\ncron = "15 2 * * *"\ntime_zone = "UTC"\nmanifest = "s3://shop/c.csv"\n'
    Path("restyle.toml").write_text(f'{toml}prompt = "photo"\n')
    with running_dashboard() as served:
        yield Place(served, s3.store, workspace, Progress(state))
    state.close()


def catalog(place: Place, count: int) -> str:
    """A manifest in S3 of so many pictures."""
    for number in range(count):
        place.store.put(
            place.workspace.under("in", f"mug-{number}.jpg"), picture(f"{number}"), content_type="image/jpeg"
        )
    rows = "".join(f"mug-{number},{place.workspace.under('in', f'mug-{number}.jpg')}\n" for number in range(count))
    uri = place.workspace.under("in", "catalog.csv")
    place.store.put(uri, f"id,image\n{rows}".encode(), content_type="text/csv")
    return uri


def post(place: Place, fields: dict[str, str], file: tuple[str, bytes] | None = None) -> Answer:
    """The form of a new run, as a browser sends it."""
    fields = {"form_token": place.ask("/new").form_token, "kind": "run", **fields}
    parts = [f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]  # fmt: skip
    if file:
        head = f'--x\r\ncontent-disposition: form-data; name="manifest"; filename="{file[0]}"\r\n\r\n'
        parts.append(head.encode() + file[1] + b"\r\n")
    connection = HTTPConnection(urlsplit(place.served.url).netloc, timeout=20)
    try:
        connection.request("POST", "/new", b"".join(parts) + b"--x--\r\n",
                           {"content-type": "multipart/form-data; boundary=x", "accept": "text/html"})  # fmt: skip
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        return followed(place, found)
    finally:
        connection.close()


def followed(place: Place, answer: Answer) -> Answer:
    """The page that a form leads to."""
    return place.ask(answer.headers["location"]) if answer.status == 303 else answer


def confirmed(answer: Answer, **more: str) -> dict[str, str]:
    """The fields of the page that asks for the yes."""
    assert answer.status == 200, answer.text
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    return {name: unescape(value) for name, value in hidden} | more


def runs(place: Place) -> list[str]:
    """The runs of the workspace."""
    return list(place.store.folders(place.workspace.under("runs") + "/"))


def test_plan_and_start_once(place: Place) -> None:
    """The estimate first, which writes nothing; then one run, however often it is pressed, with who pressed."""
    answer = post(place, {"manifest": catalog(place, 3), "prompts": "photo of {id}", "name": "spring"})
    assert "at most 30.00 credits ($30.00)" in answer.text
    assert runs(place) == []
    form = confirmed(answer)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: place.ask("/new/start", form), range(6)))
    assert {(one.status, one.headers["location"]) for one in answers} == {(303, f"/runs/{form['run_id']}")}
    assert runs(place) == [form["run_id"]]
    page = place.ask(f"/runs/{form['run_id']}").text
    assert "spring" in page
    assert "tester@here (dashboard)" in page
    # The same plan on another page is the run that goes.
    again = confirmed(post(place, {"manifest": place.workspace.under("in", "catalog.csv"), "prompts": "photo of {id}",
                                   "name": "spring"}))  # fmt: skip
    assert place.ask("/new/start", again).headers["location"] == f"/runs/{form['run_id']}"
    assert len(runs(place)) == 1


def test_a_plan_that_is_not_known_any_more(place: Place) -> None:
    """Of a dashboard that was started anew, or made up: it leads to the form."""
    answer = place.ask("/new/plan/made-up")
    assert (answer.status, answer.headers["location"]) == (303, "/new")


def test_a_wrong_manifest(place: Place, s3: S3) -> None:
    """The same errors as on the command line, each with its line and column; nothing is begun."""
    text = "id,image,strength\na,s3://in/a.jpg,0.5\na,s3://in/b.jpg,1.5\n,s3://in/c.txt,x\n"
    answer = post(place, {"prompts": "photo of {title}"}, ("bad.csv", text.encode()))
    assert answer.status == 422
    uri = re.search(r'name="manifest" value="([^"]+)"', answer.text)
    assert uri is not None
    with pytest.raises(ManifestError) as caught:
        make_plan(PlanRequest(uri[1], prompt="photo of {title}"), place.served.live.settings,
                  workspace=place.workspace, store=Store())  # fmt: skip
    listed = re.findall(r"<li><code>(.*?)</code></li>", answer.text)
    assert [unescape(line) for line in listed] == [str(problem) for problem in caught.value.problems]
    assert "bad" not in runs(place)
    assert runs(place) == []
    # A line of an uploaded file, told by its line.
    good = post(place, {"prompts": "photo of {id}"}, ("bad.csv", text.encode()))
    assert "manifest (the file that was chosen):3: strength: 1.5 is out of range" in unescape(good.text)


@pytest.mark.parametrize("data", [b"\r\n\x00\xff--x--\r\n-- \n\r" * 3, b"\n" * 2_000_000])
def test_a_file_is_kept_as_it_came(place: Place, data: bytes) -> None:
    """Whatever bytes it has; a reader of mail, which took it first, needed a minute for 20 MB of line ends."""
    post(place, {"prompts": "x"}, ("odd.csv", data))
    assert place.store.get(place.workspace.input(hashlib.sha256(data).hexdigest(), ".csv")).data == data


def test_a_file_that_is_too_large_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bytes as they arrive."""
    monkeypatch.setattr(security, "MAX_UPLOAD_BYTES", 100_000)
    assert post(place, {"prompts": "x"}, ("large.csv", b"x" * 200_000)).status == 413


#: What is typed wrongly, and what is told of it.
WRONG: list[tuple[dict[str, str], str]] = [
    ({}, "name the manifest"),
    ({"manifest": "/etc/passwd"}, "files of this machine are chosen, not named"),
    ({"manifest": "../catalog.csv"}, "files of this machine are chosen, not named"),
    ({"manifest": "CATALOG", "prompts": "one\ntwo"}, "a run takes one prompt"),
    ({"manifest": "CATALOG", "prompts": "one", "budget": "much"}, "it is a number of credits above 0"),
    ({"manifest": "CATALOG", "prompts": "one", "budget": "12,50"}, "write 12.50 with a point"),
    ({"manifest": "CATALOG", "prompts": "one", "budget": "5"}, "the budget is 5.00: raise it"),
    ({"manifest": "CATALOG", "prompts": "one", "limit": "-1"}, "limit: -1: it is a number from 1 on"),
    ({"manifest": "CATALOG", "prompts": "one", "then_ask": "yes"}, "say how many jobs it has"),
    ({"manifest": "CATALOG", "prompts": "one", "sets": "strenght=0.5"}, "did you mean strength?"),
    ({"manifest": "CATALOG", "prompts": "one", "kind": "try", "axes": "strength=7"}, "7.0 is out of range"),
    ({"manifest": "CATALOG", "prompts": "one", "variants": "file.json"}, "is no s3:// address"),
]


def test_forms_that_are_wrong(place: Place, subtests: pytest.Subtests) -> None:
    """Each is told on the form, which keeps what was typed; nothing is spent."""
    uri = catalog(place, 2)
    for fields, why in WRONG:
        with subtests.test(why):
            answer = post(place, {name: uri if value == "CATALOG" else value for name, value in fields.items()})
            assert answer.status == 422
            assert why in unescape(answer.text)
    assert runs(place) == []


def test_a_large_cost_is_typed(place: Place) -> None:
    """Above RESTYLE_CONFIRM_ABOVE the cost is typed; past the budget only where that was said."""
    uri = catalog(place, 12)
    form = confirmed(post(place, {"manifest": uri, "prompts": "photo of {id}", "budget": "50", "past_budget": "yes"}))
    for typed in ("", "12", "yes"):
        answer = place.ask("/new/start", form | {"typed": typed})
        assert (answer.status, runs(place)) == (422, [])
        assert "Type the cost, 120.00" in answer.text
    assert place.ask("/new/start", form | {"typed": "120.00"}).status == 303
    assert len(runs(place)) == 1


def test_what_has_changed_since(place: Place) -> None:
    """A manifest that is another by now is shown again; a stale or foreign form starts nothing."""
    uri = catalog(place, 2)
    form = confirmed(post(place, {"manifest": uri, "prompts": "photo of {id}"}))
    catalog(place, 3)
    answer = place.ask("/new/start", form)
    assert answer.status == 422
    assert "It has changed since" in answer.text
    assert place.ask("/new/start", form | {"form_token": "x"}).status == 403
    assert place.ask("/new/start", form | {"run_id": "../x"}).status == 400
    assert runs(place) == []


def test_a_trial(place: Place) -> None:
    """Prompts by lines and axes; it leads to its grid."""
    fields = {"manifest": catalog(place, 4), "prompts": "oak {id}\nsea {id}", "kind": "try", "axes": "strength=0.3,0.5",
              "entries": "2"}  # fmt: skip
    answer = post(place, fields)
    assert "<dd>2 of 4</dd>" in answer.text
    assert "<q>oak {id}</q> · <q>sea {id}</q>" in answer.text
    assert "sea+%7Bid%7D" in answer.text  # the way back to the form keeps what was typed
    started = place.ask("/new/start", confirmed(answer))
    assert started.headers["location"].endswith("/grid")
    grid = place.ask(started.headers["location"])
    review = place.ask(f"{started.headers['location'].removesuffix('grid')}jobs").text
    assert "A · strength 0.3 · seed" in review
    assert ">B · strength 0.5</option>" in review
    assert not re.search(r"[>,] ?try\.", review)
    assert grid.text.count('data-state="pending"') == 8
    refused = place.ask(f"{started.headers['location']}/use", {"form_token": grid.form_token})
    assert (refused.status, f'href="{started.headers["location"]}">To the trial</a>' in refused.text) == (409, True)
    # What is chosen is planned at once, and the way back is the form with the file in it.
    use = f"{started.headers['location']}/use"
    chosen = followed(place, place.ask(use, {"form_token": grid.form_token, "column-2": "yes"}))
    assert "<dd>4</dd>" in chosen.text.partition("Start this run?")[2]
    assert "<q>sea mug-" in chosen.text
    assert "&amp;variants=s3" in chosen.text


def test_fire_a_schedule(place: Place) -> None:
    """It asks once, fires it as the command does, and says who did; one that waits to be planned is not fired again."""
    assert place.ask("/schedules/none/fire").status == 404
    asked = place.ask("/schedules/nightly/fire")
    assert "Start nightly now?" in asked.text
    for _ in range(2):
        assert place.ask("/schedules/nightly/fire", {"form_token": asked.form_token}).status == 303
    here = place.served.live.sides[0].session
    (waiting,) = Firings(here.state).waiting()
    assert waiting.endswith("-nightly")
    events = read_events(here.state.ask(*ask_events(here.state, None)))
    fired = [(event.by, event.detail) for event in events if event.what == "fired"]
    assert fired == [("tester@here (dashboard)", f"nightly, {waiting}")]
    assert "Start now" in place.ask("/schedules").text


def test_resume_with_a_larger_budget(place: Place) -> None:
    """The budget is a field of the question; what is none is told, and changes nothing."""
    form = confirmed(post(place, {"manifest": catalog(place, 3), "prompts": "photo of {id}", "budget": "40"}))
    run_id = form["run_id"]
    assert place.ask("/new/start", form).status == 303
    token = place.ask(f"/runs/{run_id}/suspend").form_token
    assert place.ask(f"/runs/{run_id}/suspend", {"form_token": token}).status == 303
    page = place.ask(f"/runs/{run_id}/resume")
    assert "3 jobs, about 30.00 credits ($30.00); of its budget of 40.00 credits, 0.00 are spent" in page.text
    assert place.ask(f"/runs/{run_id}/resume", {"form_token": token, "budget": "none"}).status == 409
    assert place.ask(f"/runs/{run_id}/resume", {"form_token": token, "budget": "75"}).status == 303
    assert place.served.live.sides[0].session.read(run_id).budget == 75


def test_redo_what_is_marked(place: Place) -> None:
    """The marks of a run become a manifest in the workspace, and its plan has what is marked redo alone."""
    form = confirmed(post(place, {"manifest": catalog(place, 3), "prompts": "photo of {id}"}))
    run_id = form["run_id"]
    assert place.ask("/new/start", form).status == 303
    session = place.served.live.sides[0].session
    session.control.cancel(run_id)
    token = {"form_token": form["form_token"]}
    for index, word in enumerate(("redo", "keep")):
        answer = place.ask(f"/runs/{run_id}/marks", token | {"place": str(index), "mark": word})
        assert answer.status == 303, answer.text
    answer = followed(place, place.ask(f"/runs/{run_id}/marks/plan", token))
    assert (answer.status, "at most 10.00 credits" in answer.text) == (200, True)
    assert runs(place) == [run_id]
    wrong = followed(place, place.ask(f"/runs/{run_id}/marks/plan", token | {"strength": "3"}))
    assert (wrong.status, "strength" in wrong.text) == (422, True)
    fields = token | {"strength": " 0.4\n", "prompt": "felt\nsets"}
    answer = followed(place, place.ask(f"/runs/{run_id}/marks/plan", fields))
    assert f"What is marked redo in run {run_id}" in answer.text
    assert "<dd>strength=0.4, prompt=felt sets</dd>" in answer.text
    form = confirmed(answer)
    assert form["sets"].splitlines() == ["strength=0.4", "prompt=felt sets"]
    again = place.ask("/new/start", form).headers["location"].rpartition("/")[2]
    assert f'href="/runs/{run_id}/jobs">{run_id}</a>' in place.ask(f"/runs/{again}").text
    assert ">redo</span>" in place.ask("/").text
    review = place.ask(f"/runs/{run_id}/jobs").text
    assert f'were made again already: <a href="/runs/{again}">' in review
    assert "made again already" not in place.ask(f"/runs/{again}/jobs").text
    (job,) = read_plan(place.store, place.workspace, again, 0)
    params = Job.model_validate_json(job).params
    assert (params.strength, params.prompt) == (0.4, "felt sets")


def test_approve_one_variant(place: Place) -> None:
    """The run ends, and the rest of that variant goes on in a new run under the same limits, started once."""
    styles = place.workspace.under("in", "styles.json")
    place.store.put(styles, b'[{"name":"oak","prompt":"oak"},{"name":"sea","prompt":"sea"}]', content_type="text/plain")
    form = confirmed(post(place, {"manifest": catalog(place, 3), "variants": styles, "sample": "2", "then_ask": "yes",
                                  "budget": "60"}))  # fmt: skip
    assert place.ask("/new/start", form).status == 303
    run_id, state = form["run_id"], place.progress.state
    limits: dict[str, object] = {"finish_by": utc_now().replace(microsecond=0) + timedelta(hours=1)}
    limits["notify"] = {"url": "http://127.0.0.1:9/"}
    planned = Run.read(place.store.get(place.workspace.run(run_id)).data)
    options = planned.options.model_copy(update={"max_failures": "7", "max_suspects": "3%"})
    write_run(planned.model_copy(update={**limits, "options": options}), store=place.store, workspace=place.workspace)
    place.progress.suspend(run_id, "awaiting_approval", "the sample is done", "dispatcher")
    state.ask("HSET", state.key("run", run_id), "credits", 15, "lost", 5)
    path = f"/runs/{run_id}/approve"
    wait_until(lambda: "oak: 3 jobs, about 30.00 credits" in place.ask(path).text, timeout=10, description="the choice")
    token = {"form_token": form["form_token"]}
    assert place.ask(path, token | {"variant": "gold"}).status == 409
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: place.ask(path, token | {"variant": "oak"}), range(6)))
    (started,) = {one.headers["location"] for one in answers if one.status == 303}
    assert sorted(one.status for one in answers) == [303, *[409] * 5]
    again = started.split("/")[2].partition("?")[0]
    assert sorted(runs(place)) == sorted([run_id, again])
    ended, goes = (Run.read(place.store.get(place.workspace.run(one)).data) for one in (run_id, again))
    assert (ended.status, goes.budget, goes.planned, goes.retry_of) == (RunStatus.CANCELLED, 40.0, 3, run_id)
    assert {name: getattr(goes, name) for name in limits} == limits
    assert (goes.options.max_failures, goes.options.max_suspects) == ("7", "3%")
    assert state.ask("HGET", state.key("run", again), "finish_by")
    jobs = [Job.model_validate_json(line) for line in read_plan(place.store, place.workspace, again, 0)]
    assert {job.variant for job in jobs} == {"oak"}
    log = [event.what for event in read_events(state.ask(*ask_events(state, run_id)))]
    assert log[:2] == ["approved in part", "rejected"]


def test_what_is_done_already(place: Place) -> None:
    """Before the yes stands how many jobs are done; only the others are costed, and typed or budgeted."""
    uri = catalog(place, 12)
    request = PlanRequest(uri, prompt="photo of {id}", limit=10)
    before = make_plan(request, place.served.live.settings, workspace=place.workspace, store=place.store)
    done(before, place.workspace, place.store)
    place.store.put(place.workspace.under("in", "mug-3.jpg"), picture("another"), content_type="image/jpeg")
    answer = post(place, {"manifest": uri, "prompts": "photo of {id}", "budget": "40"})
    assert "2 new, 1 whose picture has changed, 9 done already, which cost nothing" in answer.text
    assert "at most 30.00 credits ($30.00)" in answer.text
    assert "Type the cost" not in answer.text
    new = post(place, {"manifest": uri, "prompts": "clay {id}", "budget": "200"}).text
    assert "2 new, 10 with another recipe" in new
    assert "Type the cost to start: 120.00" in new
    assert place.ask("/new/start", confirmed(answer)).status == 303
