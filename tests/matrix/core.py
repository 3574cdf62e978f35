"""What must hold on every server: one test of each promise, chosen from those that `make test` and others run."""

from __future__ import annotations

EVERYWHERE = (
    "tests/acceptance/test_fleet.py::test_workers_come_and_go_and_every_view_agrees",
    "tests/acceptance/test_stop_as_one.py::test_an_empty_balance_stops_every_worker_of_a_fleet",
    "tests/acceptance/test_kills.py::test_killed_around_the_record[records-after-plain]",
    "tests/acceptance/test_s3_faults.py::test_answers_that_s3_does_not_take_are_paid_once[worker killed-8]",
    "tests/acceptance/test_nightly.py::test_a_night_pays_for_what_is_new",
    "tests/acceptance/test_reprocessing.py::test_the_second_night_pays_for_what_changed",
    "tests/integration/test_reuse.py::test_back_to_an_earlier_prompt",
    "tests/integration/test_ownership.py::test_two_manifests_of_one_naming",
    "tests/integration/test_dashboard_starts.py::test_plan_and_start_once",
)
#: A Redis that is lost, and one that forgets: on a server of the test's own.
ALONE = (
    "tests/acceptance/test_redis_faults.py::test_a_restart_with_its_data_needs_no_command",
    "tests/acceptance/test_redis_faults.py::test_a_restart_without_data_needs_no_command",
    "tests/acceptance/test_redis_refuses.py::test_a_redis_that_forgets_keys_is_refused",
)
#: The same where sentinels watch.
WATCHED = ("tests/acceptance/test_sentinels.py::test_a_failover_needs_no_hand[0]",)


def core_of(access: str) -> tuple[str, ...]:
    """The tests for a Redis that is reached in this way."""
    return (*EVERYWHERE, *(WATCHED if access == "sentinel" else ALONE))
