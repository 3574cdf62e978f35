"""Prompt templates: names in braces, doubled braces, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.planning.jobs.prompts import parse, unknown

VALUES = {"title": "oak {mug}", "a b": "space", "größe": "L", "id": "7"}


@pytest.mark.parametrize(
    ("template", "names", "text"),
    [
        ("", (), ""),
        ("plain", (), "plain"),
        ("{title}", ("title",), "oak {mug}"),
        ("photo of { title }, {id}{id}", ("title", "id", "id"), "photo of oak {mug}, 77"),
        ("{a b} {größe}", ("a b", "größe"), "space L"),
        ("{{title}}", (), "{title}"),
        ("{{{title}}}", ("title",), "{oak {mug}}"),
        ("{{{{}}}}", (), "{{}}"),
        ("}}{{", (), "}{"),
        ("two\nlines {id}", ("id",), "two\nlines 7"),
    ],
)
def test_templates(template: str, names: tuple[str, ...], text: str) -> None:
    """Names become their values, once; doubled braces become braces."""
    assert parse(template).names == names
    assert parse(template).render(VALUES) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a {title", "has a lone { at character 3; write {{ for a brace"),
        ("a title}", "has a lone } at character 8; write }} for a brace"),
        ("{{title}", "has a lone } at character 8"),
        ("{title}}", "has a lone } at character 8"),
        ("{{{title}}", "has a lone } at character 10"),
        ("{ti{tle}", "has a lone { at character 1"),
        ("{}", "has {} without a column's name"),
        ("{ }", "has {} without a column's name"),
    ],
)
def test_braces_that_stand_alone(template: str, reason: str) -> None:
    """A brace that is no name's is told by its place."""
    with pytest.raises(ValueError, match=r"^has ") as caught:
        parse(template)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("titel", "uses {titel}, but there is no such column; did you mean {title}?"),
        ("zzz", "uses {zzz}, but there is no such column; there are: a b, größe, id, title"),
        ("title.upper", "uses {title.upper}: only {name} is read, without attribute, index or format"),
        ("title!r", "without attribute, index or format"),
        ("title:>9", "without attribute, index or format"),
        ("0[a]", "without attribute, index or format"),
        ("strength", "uses {strength}, which is restyle's own column"),
        ("Image", "uses {Image}, which is restyle's own column"),
    ],
)
def test_names_that_no_column_has(name: str, reason: str) -> None:
    """An unknown name is told with the one that may be meant, and what Python would do is told as not done."""
    assert reason in unknown(name, VALUES)


@given(st.text())
def test_doubled_braces_are_braces(text: str) -> None:
    """Any text with its braces doubled is a template that says just that text."""
    template = parse(text.replace("{", "{{").replace("}", "}}"))
    assert template.names == ()
    assert template.render({}) == text


@given(st.text(alphabet="{}ab "))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever stands there, it is a template, or the reason why not is told."""
    try:
        template = parse(text)
    except ValueError:
        assert text.count("{") or text.count("}")
        return
    assert "{" not in template.render(dict.fromkeys(template.names, "x")) or "{{" in text


@given(value=st.text(), before=st.text(alphabet="ab"), after=st.text(alphabet="ab"))
def test_a_value_is_put_in_as_it_is(value: str, before: str, after: str) -> None:
    """What a cell holds is never read as a template itself."""
    assert parse(f"{before}{{x}}{after}").render({"x": value}) == before + value + after
