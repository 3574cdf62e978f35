"""What a refusal means: real and plausible bodies, each with whose fault it is and what stops for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from restyle.coordination.suspensions import advice
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    FleetError,
    MalformedResponse,
    Misconfigured,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    Unauthorized,
)
from restyle.http.retry_after import MOST, reset_wait
from restyle.reply import MOST_TEXT, quoted
from restyle.segmind.refusals import api_message, read_error, read_refusal
from restyle.segmind.wording import blame

#: Money, plan, account: the fleet stops at the first, and the cause says which it is.
MONEY: list[tuple[str, str]] = [
    ("Not enough credits", "balance"),
    ("Insufficient credits: balance 0.0100, this call needs 0.0200", "balance"),
    ("insufficient wallet amount, minimum value 0.5 is required", "balance"),
    ("Your balance is too low to generate an image with samples=4", "balance"),
    ("Please top up your wallet", "balance"),
    ("No funds: the value of your prepaid account must be at least $1", "balance"),
    ("You need 0.04 USD more for this image", "balance"),
    ("insufficientCredits", "balance"),
    ("insufficient_quota", "limit"),
    ("quota exceeded, invalid plan", "limit"),
    ("credit limit reached: the value is invalid", "limit"),
    ("Spend limit exceeded", "limit"),
    ("Monthly limit exceeded for parameter generations", "limit"),
    ("You have reached your daily limit of 100 images", "limit"),
    ("Image limit reached", "limit"),
    ("You cannot generate more images today", "limit"),
    ("Team spend limit reached for this month", "team_limit"),
    ("The spending cap of your organization was hit; ask an admin to raise the value", "team_limit"),
    ("usage limit of project 'catalog' exceeded", "team_limit"),
    ("subscription inactive", "plan"),
    ("Your plan does not include the base_model juggernaut", "plan"),
    ("Invalid subscription tier for this model", "plan"),
    ("Free trial expired. Upgrade to continue generating images", "plan"),
    ("samples must be <= 1 on the free tier", "plan"),
    ("payment method invalid", "payment"),
    ("Your card was declined, the billing address must be valid", "payment"),
    ("Invoice overdue: image generation is paused", "payment"),
    ("Account suspended", "account"),
    ("The terms of service must be accepted before images can be generated", "account"),
    ("Your IP is not in the allowlist of this image model: it must be", "account"),
    ("Please renew, the image cannot be made", "plan"),
    ("Invalid account value", "account"),
    ("You do not have access to this scheduler", "account"),
    ("Guthaben reicht nicht aus", "balance"),
    ("Ungültiger Tarif: Bilder sind in Ihrem Abo nicht enthalten", "plan"),
    ("Ihr Kontingent für samples ist erschöpft", "limit"),
    ("Zahlung fehlgeschlagen", "payment"),
    ("Solde insuffisant pour générer cette image", "balance"),
    ("Votre abonnement est invalide", "plan"),
    ("Le paiement a été refusé", "payment"),
    ("Saldo insuficiente: el valor mínimo es 1", "balance"),
    ("Se ha alcanzado el límite mensual de su cuenta", "limit"),
    ("La suscripción no es válida para esta imagen", "plan"),
    ("余额不足, 请充值", "balance"),
    ("您的套餐不支持该图片尺寸", "plan"),
    ("账户已被冻结", "account"),
    ("残高が不足しています", "balance"),
    ("Недостаточно средств на балансе", "balance"),
]

#: Headers, and what stands between: every job would get it, so all stop.
HEADERS = [
    "Invalid content type",
    "Invalid content type: send application/json",
    "content-type must be application/json",
    "Missing required header",
    "The Accept header must be image/jpeg",
    "Unsupported media type: image/webp expected application/json",
    "unsupportedMediaType",
    "Ungültiger Inhaltstyp (Content-Type)",
    "En-tête manquant",
    "请求头缺少参数",
]

#: One of the request's own parameters, or the picture: the job fails alone.
JOB = [
    "image url unreachable",
    "strength exceeds the limit: must be <= 1",
    "parameter strength must be below 1",
    "invalid value for seed",
    "Invalid value for parameter guidance_scale: 99",
    "num_inference_steps must be between 20 and 100",
    "numInferenceSteps out of range",
    "Inference steps exceed the maximum of 100",
    "scheduler 'Foo' is not supported",
    "Unknown sampler",
    "base_model not found",
    "The base model 'foo' does not exist",
    "samples: must be at most 4",
    "number of samples exceeds the limit of 4",
    "prompt is required",
    "Prompt too long: 2000 characters at most",
    "prompt exceeds the token limit of 77",
    "negative_prompt must be a string",
    "NSFW content detected in prompt",
    "prompt was flagged by our content policy",
    "Your prompt was blocked by the safety filter",
    "image could not be decoded",
    "Invalid image",
    "Unsupported image format",
    "The picture is too large: maximum 4096x4096 pixels",
    "Image size exceeds the limit (10 MB)",
    "width and height must be divisible by 8",
    "cannot identify image file",
    "image must be base64",
    "insufficient image resolution, at least 64x64",
    "Denoising strength has a bad value",
    "Der Parameter strength muss zwischen 0.1 und 1 liegen",
    "Das Bild konnte nicht gelesen werden",
    "Ungültiges Bildformat",
    "Le paramètre guidance_scale est hors limites",
    "L'image est illisible",
    "La imagen no es válida",
    "El valor de seed debe ser un entero",
    "A imagem é inválida",
    "Immagine non valida",
    "图片无法解码",
    "参数 strength 超出范围",
    "提示词过长",
    "画像が無効です",
    "Изображение повреждено: неверный формат",
]

#: Nobody can tell: all stop, since a stop costs nothing.
UNCLEAR = [
    "",
    "Not Acceptable",
    "error",
    "Invalid",
    "invalid parameter",
    "The value must be valid",
    "Request cannot be processed",
    "Image generation failed",
    "img2img is not available",
    "Something went wrong with your image",
    "E406-17",
    "Neplatná hodnota",
    "リクエストを処理できません",
    "Anfrage abgelehnt",
]


def refusal(text: str, status: int = 406) -> Any:
    """What a refusal with these words means."""
    return read_error(status, {}, json.dumps({"error": text}).encode())


@pytest.mark.parametrize("status", [402, 406])
@pytest.mark.parametrize(("text", "cause"), MONEY)
def test_a_refusal_about_money_stops_the_fleet_and_says_which(text: str, cause: str, status: int) -> None:
    """Balance, limit, plan, payment or account, in any of these languages: no job fails for it."""
    error = refusal(text, status)
    assert type(error) is OutOfCredits
    assert error.cause == cause
    assert text[:40] in error.message
    assert advice(error.reason, error.cause) != advice("operator", "")


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("text", "cause"), MONEY)
def test_a_refusal_about_money_stops_the_fleet_under_any_status(text: str, cause: str, status: int) -> None:
    """Also where the status says that the request is wrong."""
    assert (type(refusal(text, status)), refusal(text, status).cause) == (OutOfCredits, cause)


@pytest.mark.parametrize("status", [400, 406, 415, 422])
@pytest.mark.parametrize("text", HEADERS)
def test_a_refusal_about_headers_stops_the_fleet(text: str, status: int) -> None:
    """Every job is sent with the same headers."""
    error = refusal(text, status)
    assert (type(error), error.cause) == (Misconfigured, "header")


@pytest.mark.parametrize("status", [400, 406, 422])
@pytest.mark.parametrize("text", JOB)
def test_a_refusal_about_a_parameter_or_the_picture_fails_one_job(text: str, status: int) -> None:
    """Where the text names what this request alone has, and nothing that all share."""
    assert type(refusal(text, status)) is RequestRejected


@pytest.mark.parametrize("text", UNCLEAR)
def test_an_unclear_406_stops_the_fleet(text: str) -> None:
    """Stop is the default; under 400 and 422 the status itself blames the request."""
    error = refusal(text)
    assert (type(error), error.cause) == (OutOfCredits, "")
    assert type(refusal(text, 400)) is RequestRejected
    assert type(refusal(text, 422)) is RequestRejected


SHAPES: list[tuple[object, type[Exception]]] = [
    ({"detail": [{"loc": ["body", "image"], "msg": "must be a string", "type": "type_error"}]}, RequestRejected),
    ({"detail": [{"loc": ["body", "strength"], "msg": "x", "input": {"plan": "pro", "account": 1}}]}, RequestRejected),
    ({"errors": {"num_inference_steps": ["Ensure this value is at most 100."]}}, RequestRejected),
    ({"seed": ["A valid integer is required."]}, RequestRejected),
    ({"error": {"message": "Invalid value", "param": "scheduler", "code": "invalid_value"}}, RequestRejected),
    ({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, OutOfCredits),
    ({"error": {"code": "INSUFFICIENT_BALANCE"}}, OutOfCredits),
    ({"message": "wallet empty", "image": "https://example.com/a.jpg", "prompt": "a must be b"}, OutOfCredits),
    ({"error": "Not acceptable", "prompt": "photo of an invalid shoe", "strength": 0.4}, OutOfCredits),
    ({"detail": [{"loc": ["header", "content-type"], "msg": "field required"}]}, Misconfigured),
    ({"status": "error", "request_id": "image-strength-invalid"}, OutOfCredits),
    ([{"error": "seed must be an integer"}], RequestRejected),
    ("prompt must not be empty", RequestRejected),
    (None, OutOfCredits),
    (406, OutOfCredits),
    ({"error": ["samples must be <= 4"]}, RequestRejected),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), SHAPES)
def test_an_error_is_read_in_any_shape(body: object, kind: type[Exception]) -> None:
    """Whatever JSON says it: what is echoed of the request counts for nothing, a field that is named counts."""
    assert type(read_error(406, {}, json.dumps(body).encode())) is kind


def test_a_long_echo_is_read_past() -> None:
    """A refusal that carries the request's own picture back is read all the same, and quoted without it."""
    echoed = {"detail": [{"loc": ["body", "strength"], "msg": "must be <= 1", "input": "QUJD" * 200_000}]}
    error = read_error(422, {}, json.dumps(echoed).encode())
    assert type(error) is RequestRejected
    assert "strength" in error.message
    assert len(error.message) < 400
    cut_off = json.dumps(echoed).encode()[:-2]
    assert len(read_error(406, {}, cut_off).message) < 400


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"<html><h1>400 Bad Request</h1><p>Request Header Or Cookie Too Large</html>", Misconfigured),
        (401, b'{"error": "Not enough credits"}', Unauthorized),
        (403, b'{"error": "This model is not enabled for your team"}', Unauthorized),
        (403, b'{"error": "Subscription expired"}', OutOfCredits),
        (403, b'{"error": "prompt violates our content policy"}', RequestRejected),
        (403, b"<html><title>Just a moment...</title><style>.image{must:be}</style></html>", Unauthorized),
        (404, b'{"error": "base_model not found"}', Misconfigured),
        (405, b"<html>Method Not Allowed</html>", Misconfigured),
        (406, b"<html><h1>Not Acceptable!</h1><p>This error was generated by Mod_Security.</p></html>", OutOfCredits),
        (407, b"", Misconfigured),
        (409, b'{"error": "conflict"}', RequestRejected),
        (410, b"", Misconfigured),
        (411, b"", Misconfigured),
        (413, b"<html>413 Request Entity Too Large</html>", RequestRejected),
        (415, b'{"error": "Unsupported image format: webp"}', RequestRejected),
        (415, b"", Misconfigured),
        (426, b"Upgrade Required", Misconfigured),
        (429, b'{"error": "Too Many Requests"}', RateLimited),
        (431, b"", Misconfigured),
        (451, b"", RequestRejected),
        (302, b"", Misconfigured),
    ],
)
def test_each_status_has_its_own_default(status: int, body: bytes, kind: type[Exception]) -> None:
    """What is not clear by its words goes by its status, and what every job would meet stops all of them."""
    assert type(read_error(status, {}, body)) is kind


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("insufficient credits", "balance"),
        ("Too Many Requests; insufficient credits", "balance"),
        ("Your wallet balance is 0, please top up", "balance"),
        ("余额不足", "balance"),
        ("Payment required", "payment"),
        ("You exceeded your current quota, please check your plan and billing details; insufficient_quota", "limit"),
        ("daily credit limit exceeded", "limit"),
    ],
)
def test_a_429_that_speaks_of_money_is_about_money(text: str, cause: str) -> None:
    """Waiting does not fill an account: the fleet held for half an hour, and was advised to lower its rate."""
    error = refusal(text, 429)
    assert (type(error), getattr(error, "cause", "")) == (OutOfCredits, cause)


@pytest.mark.parametrize(
    "text",
    [
        "Rate limit exceeded", "Too Many Requests", "", "Rate limit: 60 requests per minute. Buy credits to raise it",
        "Rate limit exceeded for free tier; add a payment method to raise it", "not enough GPUs",
        "You can spend at most 10 credits per minute", "Insufficient capacity; no credits were charged", "Slow down",
        "Request was throttled, no credits charged. Try again in 20 s", "Concurrency limit for your balance reached",
    ],
)  # fmt: skip
def test_a_429_that_speaks_of_the_rate_is_waited_for(text: str) -> None:
    """Also where it names money beside it: a stop would cost a night that a minute's wait had saved."""
    assert type(refusal(text, 429)) is RateLimited


def test_the_period_of_a_limit_is_told() -> None:
    """A person learns whether waiting for tomorrow helps."""
    assert "monthly" in refusal("Team spend limit reached for this month").message
    assert "daily" in refusal("You have reached your daily limit of 100 images").message
    error = refusal("Team spend limit reached")
    assert isinstance(error, FleetError)
    assert "team" in advice(error.reason, error.cause)


def test_what_the_api_says_is_quoted_short_and_without_the_key() -> None:
    """No key, no control characters, one line of bounded length."""
    key = "SG_0123456789abcdef"
    error = read_error(406, {}, json.dumps({"error": f"bad key {key}\x1b[31m\n" + "x" * 5000}).encode(), key)
    assert key not in error.message
    assert "\x1b" not in error.message
    assert "\n" not in error.message
    assert len(quoted("x" * 5000)) == MOST_TEXT
    assert api_message(b'{"error": "no"}') == "no"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (101, MalformedResponse), (300, Misconfigured), (399, Misconfigured), (408, ApiTimeout), (499, RequestRejected),
        (500, ApiUnavailable), (505, ApiUnavailable), (599, ApiUnavailable),
        *((status, Misconfigured) for status in (404, 405, 407, 410, 411, 412, 416, 417, 421, 426, 428, 431)),
    ],
)  # fmt: skip
def test_each_status_is_one_error(status: int, kind: type[Exception]) -> None:
    """Without words it goes by its number, which the error has, and which is all that its message says."""
    error = read_error(status, {}, b"")
    assert (type(error), getattr(error, "http_status", None), getattr(error, "cause", "")) == (kind, status, "")
    assert error.message.removesuffix(" (a redirect, which is not followed since the key would go along)") == (
        f"the API answers {status}"
    )


@pytest.mark.parametrize("text", ["strength must be <= 1", "Invalid content type", "E402"])
def test_a_402_is_about_money_whatever_it_says(text: str) -> None:
    """Its words tell a cause only where they are of money."""
    error = refusal(text, 402)
    assert (type(error), error.cause) == (OutOfCredits, "")
    assert error.message == f"the API answers 402: {text}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Spend limit exceeded", "a limit of the account is reached: the API answers 406: Spend limit exceeded"),
        ("Monthly limit hit", "a monthly limit of the account is reached: the API answers 406: Monthly limit hit"),
        ("Weekly team limit", "the team's weekly limit is reached: the API answers 406: Weekly team limit"),
        ("No funds", "the balance does not suffice: the API answers 406: No funds"),
        ("Not Acceptable", "the API answers 406: Not Acceptable"),
    ],
)
def test_a_message_begins_with_its_cause(text: str, message: str) -> None:
    """And with the period of a limit, where it has one."""
    assert refusal(text).message == message


@pytest.mark.parametrize(
    ("text", "whose", "cause"),
    [
        ("strength limit passed", "account", "limit"),
        ("the limit was passed", "", ""),
        ("strength limit is 1", "job", ""),
        ("this call needs $0.05", "account", "balance"),
        ("$0.05 of your plan", "account", "balance"),
        ("your plan has a limit", "account", "plan"),
        ("a limit of your balance", "account", "limit"),
        ("your team is disabled", "account", "account"),
        ("a limit of your team", "account", "team_limit"),
        ("header value is wrong", "header", "header"),
    ],
)
def test_whose_fault_a_text_says_it_is(text: str, whose: str, cause: str) -> None:
    """A limit that is no bound of a parameter is the account's; an amount of money is its balance."""
    assert (blame(text).whose, blame(text).cause) == (whose, cause)


@pytest.mark.parametrize(
    ("body", "text", "fields"),
    [
        ({"error": "no"}, "no", ""),
        ({"error": {"message": "no", "param": "seed"}}, "seed: no", "seed"),
        ({"seed": ["is odd"]}, "seed: is odd", "seed"),
        ({"seed": "is odd"}, "", ""),
        ({"input": ["echo"]}, "", ""),
        ({"loc": {"seed": ["odd"]}}, "", ""),
        ({"seed": {}, "error": "no"}, "no", ""),
        ({"detail": [{"loc": ["body", "seed", 3], "msg": "no"}, {"loc": "seed", "msg": "no"}]}, "seed: no", "seed"),
        ({"param": "seed"}, "seed", "seed"),
        ({"error": {"error": {"error": {"error": {"error": {"error": "deep"}}}}}}, "deep", ""),
        ({"error": {"error": {"error": {"error": {"error": {"error": {"error": "deeper"}}}}}}}, "", ""),
        ({"a": {"b": {"c": ["no"]}}}, "a b c: no", "a b c"),
        ({"a": {"b": {"c": {"d": {"e": {"f": ["no"]}}}}}}, "a b c d e f", "a b c d e f"),
        ([[[[[["no"]]]]]], "no", ""),
        ([[[[[[["no"]]]]]]], "", ""),
        ({"error": 3}, "", ""),
    ],
)
def test_what_is_read_of_a_refusal(body: object, text: str, fields: str) -> None:
    """Texts, and the fields that are at fault, each once; to a depth of six."""
    assert read_refusal(json.dumps(body).encode()) == (text, fields)


def test_what_is_read_of_a_refusal_is_bounded() -> None:
    """Forty texts and fields, five hundred characters each, and nothing breaks the reader."""
    numbers = [str(number) for number in range(60)]
    assert read_refusal(json.dumps(numbers).encode()).text.split("; ") == numbers[:40]
    both = read_refusal(json.dumps([{"param": name, "error": f"e{name}"} for name in numbers]).encode())
    assert (len(both.fields.split()), both.text.count(";")) == (20, 19)
    many = read_refusal(json.dumps({f"f{name}": [] for name in numbers}).encode())
    assert len(many.fields.split()) == 40
    assert read_refusal(json.dumps({"error": "a " * 400}).encode()).text == ("a " * 250)
    assert read_refusal(b"[" * 100_000).text == "…"
    page = b"<p>" + b"a " * 12_000
    assert len(read_refusal(page).text) == 500
    assert read_refusal(b"<i " + b"x" * 19_900 + b"><b>late</b> words").text.split() == ["late", "words"]
    assert "late" not in read_refusal(b"<i " + b"x" * 20_000 + b">too late").text
    assert read_refusal(b"<style>.image{}</style><script>seed</script>no").text.split() == ["no"]


# -- how long to wait after a 429 --------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATE = {"date": format_datetime(NOW, usegmt=True)}
LATER = NOW + timedelta(seconds=40)
UTC_RESET, LIMIT_RESET = "x-rate-limit-reset-at-utc", "x-ratelimit-reset"

#: Headers of a 429, and the seconds that are believed; None: the API did not say when.
RESETS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "40"}, 40),
    ({"retry-after": "40.5"}, 40.5),
    ({"retry-after": "0"}, 0),
    ({"retry-after": "-1"}, 0),
    ({"retry-after": "900000000000"}, MOST),
    ({"retry-after": "86400"}, MOST),
    ({"retry-after": "1" + "0" * 400}, MOST),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "-inf"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "1, 2"}, 2),
    ({"retry-after": "30s"}, 30),
    ({"retry-after": "1m30s"}, 90),
    ({"retry-after": "500ms"}, 0.5),
    ({"retry-after": format_datetime(LATER, usegmt=True)}, 40),
    ({"retry-after": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 0),
    ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, MOST),
    ({"retry-after": str(int(LATER.timestamp()))}, 40),
    ({"retry-after": str(int(LATER.timestamp() * 1000))}, 40),
    ({UTC_RESET: LATER.isoformat()}, 40),
    ({UTC_RESET: LATER.replace(tzinfo=None).isoformat()}, 40),
    ({UTC_RESET: LATER.strftime("%Y-%m-%d %H:%M:%S")}, 40),
    ({UTC_RESET: LATER.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")}, 40.1),
    ({UTC_RESET: "9999-12-31T23:59:59-12:00"}, MOST),
    ({UTC_RESET: "0001-01-01T00:00:00+12:00"}, 0),
    ({UTC_RESET: "1999-01-01T00:00:00Z"}, 0),
    ({UTC_RESET: "99999-01-01T00:00:00Z"}, None),
    ({LIMIT_RESET: "40"}, 40),
    ({LIMIT_RESET: str(int(LATER.timestamp()))}, 40),
    ({"ratelimit-reset": "40"}, 40),
    ({"retry-after": "5", UTC_RESET: LATER.isoformat()}, 40),
    ({"retry-after": "86400", UTC_RESET: LATER.isoformat()}, 40),
    ({"retry-after": "soon", UTC_RESET: LATER.isoformat()}, 40),
    ({"retry-after": "-5", UTC_RESET: "1999-01-01T00:00:00Z"}, 0),
]


@pytest.mark.parametrize(("headers", "expected"), RESETS)
def test_a_reset_in_any_form_is_a_wait_that_can_be_kept(headers: dict[str, str], expected: float | None) -> None:
    """Measured by the answer's own clock; never more than a quarter of an hour; the longest that can be believed."""
    found = reset_wait({**DATE, **headers})
    assert found == pytest.approx(expected, abs=0.2) if expected is not None else found is None


def test_a_skewed_clock_of_the_api_does_not_matter() -> None:
    """An API that is a day off tells its reset by the same clock as its Date."""
    for off in (timedelta(days=1), timedelta(days=-1)):
        headers = {"date": format_datetime(NOW + off, usegmt=True), UTC_RESET: (LATER + off).isoformat()}
        assert reset_wait(headers) == pytest.approx(40, abs=1)


def test_without_its_own_date_our_clock_serves() -> None:
    """Where the answer has no Date, or none that can be read."""
    soon = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
    for headers in ({}, {"date": "yesterday"}, {"date": "Fri, 99 Dec 9999 23:59:59 GMT"}):
        assert reset_wait({**headers, UTC_RESET: soon}) == pytest.approx(40, abs=5)
