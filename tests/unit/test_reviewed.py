"""What the dashboard adds to a report: marks with who set them, as text, and nothing where a page says nothing."""

from __future__ import annotations

import json

from apps.dashboard.pages.reviewed import jobs_of, with_marks
from producers.runs.review.marks import mark_now

EVIL = "<img src=x onerror=alert(1)>"
RUN = "20260131T120000Z-ab12cd"


def page(*lines: str) -> str:
    """A report, as far as marks go."""
    shots = "".join(
        f'<figure class="shot" data-row="{row}" data-variant="oak"><figcaption><b>oak</b></figcaption></figure>'
        for row in range(len(lines) + 1)
    )
    rows = json.dumps({"header": "", "lines": lines})
    return f'<body data-run="x"><main>{shots}</main><script type="application/json" id="rows">{rows}</script></body>'


def test_marks_stand_beside_their_pictures() -> None:
    """By the job, whatever commas its id has; a name and a note are text, and a row without a line has none."""
    text = page(f'{RUN},{"a" * 24},"mug, red",oak,x', f"{RUN},{'b' * 24},cup,sea,x")
    assert [job[1:] for job in jobs_of(text)] == [("mug, red", "oak"), ("cup", "sea")]
    marks = {"b" * 24: mark_now("reject", by=EVIL, note=EVIL), "c" * 24: mark_now("keep", by="anna")}
    made = with_marks(text, RUN, marks, {"b" * 24})
    first, second, third = made.split("<figure")[1:]
    assert "reject by" not in first + third
    assert 'data-row="1" data-marked="reject" data-variant' in second
    assert second.count("&lt;img src=x") == 2
    assert "withdrawn: not published any more" in second
    assert EVIL not in made
    assert f'<a href="/runs/{RUN}/jobs">Review</a>: 1 reject</p>' in made
    assert "<body data-shared " in made


def test_a_page_that_does_not_say_what_it_shows() -> None:
    """Rows that are none are none, and the page is shown all the same."""
    for lines in (["only one"], [""], [None]):
        text = page("x").replace('["x"]', json.dumps(lines))
        assert jobs_of(text) == []
        assert "Review" in with_marks(text, RUN, {"a" * 24: mark_now("keep", by="anna")}, ())
    assert jobs_of("<main></main>") == []
    assert jobs_of('<script type="application/json" id="rows">{"lines": 3}</script>') == []
